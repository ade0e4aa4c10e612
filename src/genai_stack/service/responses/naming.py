"""Ids of a response's items, which tell whose they are: so an item that is referred to is found without an index."""

from __future__ import annotations

import re

RESPONSE = "resp_"
OUTPUT = 0x80000
"""The first number of what was answered; before it come the numbers of the input."""
_ITEM = re.compile("[a-z]+_(?P<response>[0-9a-z]{24})[0-9a-f]{5}")


def own(prefix: str, response: str, number: int) -> str:
    """The id of a response's item; no two of its items have one number."""
    return f"{prefix}{response.removeprefix(RESPONSE)}{number:05x}"


def owner_of(item: str) -> str | None:
    """The id of the response that the item's id is of; None for another's."""
    found = _ITEM.fullmatch(item)
    return RESPONSE + found["response"] if found else None
