"""Pages of items. An item's id stays a cursor after the item was deleted."""

from __future__ import annotations

import msgspec

from ...protocol.items import Item, ItemStatus, without_results
from ...protocol.responses import ItemList
from ..resources.shelf import Page, behind


class Gone(msgspec.Struct, frozen=True, tag_field="type", tag="gone"):
    """Where an item was that has been deleted."""

    id: str
    status: ItemStatus = "completed"


Place = Item | Gone


def listed(places: list[Place], page: Page, *, results: bool) -> ItemList:
    """`places` are all of them, oldest first. Raises RequestError for a cursor that none of them has."""
    ordered = behind(places if page.order == "asc" else places[::-1], page.after)
    items = [place for place in ordered if not isinstance(place, Gone)]
    data = [item if results else without_results(item) for item in items[: page.limit]]
    ends = (data[0].id, data[-1].id) if data else ("", "")
    return ItemList(data, len(items) > page.limit, *ends)
