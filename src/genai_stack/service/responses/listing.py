"""Pages of items. An item's id stays a cursor after the item was deleted."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from ...protocol.items import Item, ItemStatus, without_results
from ...protocol.responses import ItemList
from ..resources.shelf import Page, unknown_cursor


class Gone(msgspec.Struct, frozen=True, tag_field="type", tag="gone"):
    """Where an item was that has been deleted."""

    id: str
    status: ItemStatus = "completed"


Place = Item | Gone


def listed(ordered: Iterable[Place], page: Page, *, results: bool) -> ItemList:
    """`ordered` are all of them in the page's order, read no further than the page goes. Raises RequestError for a
    cursor that none of them has."""
    rest = iter(ordered)
    if page.after is not None and not any(place.id == page.after for place in rest):
        raise unknown_cursor()
    items = list(islice((place for place in rest if not isinstance(place, Gone)), page.limit + 1))
    data = [item if results else without_results(item) for item in items[: page.limit]]
    ends = (data[0].id, data[-1].id) if data else ("", "")
    return ItemList(data, len(items) > page.limit, *ends)
