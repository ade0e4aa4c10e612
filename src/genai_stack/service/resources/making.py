"""Making what a create asks for: however often it is sent with its key, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .once import Once, gone
from .shelf import Kept, Shelf

T = TypeVar("T", bound=Kept)


def made_once(
    once: Once, shelf: Shelf[T], tenant: str, key: bytes | None, asked: str, make: Callable[[str], T]
) -> str:
    """The id of what `make` made for `shelf` under the id that it was given, now or when `asked` came with `key`
    before. Raises what `make` does, and Conflict."""
    claim = once.claim(tenant, key, asked, shelf.new_id())
    if shelf.find(tenant, claim.id) is None:
        if claim.made:
            raise gone(claim)
        shelf.add(tenant, make(claim.id))
    once.made(tenant, key, claim)
    return claim.id
