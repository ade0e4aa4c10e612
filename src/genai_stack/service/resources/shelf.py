"""What a tenant has of one sort, in a RecordStore. A tenant's shelf holds nothing of another's, so that a foreign id is
an unknown one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from ...errors import ConditionFailed, NotFound, RequestError
from ...ports import RecordStore
from . import ids

_ROWS = 1000


class Kept(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Kept)


class Page(msgspec.Struct, frozen=True):
    """`after` is the id to go on behind, in the order asked; it need not exist any more."""

    limit: int
    after: str | None = None
    order: Literal["asc", "desc"] = "desc"


class Found(msgspec.Struct, Generic[T], frozen=True):
    items: list[T]
    has_more: bool


class Named(Protocol):
    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=Named)


def behind(items: list[N], after: str | None) -> list[N]:
    """What follows the item of that id in a list that is kept whole. Raises RequestError where none has it."""
    if after is None:
        return items
    at = next((n for n, item in enumerate(items) if item.id == after), None)
    if at is None:
        raise unknown_cursor()
    return items[at + 1 :]


def unknown_cursor() -> RequestError:
    return RequestError(
        "'after' is the id of none of these; send that of the last one you have, or leave it out.",
        param="after",
        code="invalid_value",
    )


class Shelf(Generic[T]):
    """`collection` and `prefix` (of the ids) are the sort's, `noun` is what messages call it, `hint` what they advise
    who has the wrong id. A change goes through whole or not at all, and is seen by everyone at once."""

    def __init__(
        self,
        records: RecordStore,
        kind: type[T],
        collection: str,
        prefix: str,
        noun: str,
        *,
        hint: str = "list them to see what there is",
    ) -> None:
        self._records, self._kind, self._collection = records, kind, collection
        self.prefix, self._noun, self._hint = prefix, noun, hint

    def new_id(self) -> str:
        return ids.new(self.prefix)

    def valid(self, id: str) -> bool:
        return ids.valid(self.prefix, id)

    def add(self, tenant: str, item: T) -> bool:
        """False, changing nothing, where that id is there already."""
        try:
            self._records.put(self.place(tenant), item.id, _plain(item), if_version=0)
        except ConditionFailed:
            return False
        return True

    def find(self, tenant: str, id: str) -> T | None:
        record = self._records.get(self.place(tenant), id) if self.valid(id) else None
        return msgspec.convert(record.item, self._kind) if record else None

    def get(self, tenant: str, id: str) -> T:
        """Raises NotFound, the same for an id that nobody has and for another tenant's."""
        if (item := self.find(tenant, id)) is None:
            raise self.absent(id)
        return item

    def change(self, tenant: str, id: str, to: Callable[[T], T]) -> T:
        """The item after `to`, a function of what it was, applied to its newest state. Raises NotFound, and what `to`
        raises."""
        while True:
            record = self._records.get(self.place(tenant), id) if self.valid(id) else None
            if record is None:
                raise self.absent(id)
            before = msgspec.convert(record.item, self._kind)
            after = to(before)
            if after == before:
                return before
            try:
                self._records.put(self.place(tenant), id, _plain(after), if_version=record.version)
                return after
            except ConditionFailed:
                continue

    def remove(self, tenant: str, id: str) -> None:
        self._records.delete(self.place(tenant), id)

    def page(self, tenant: str, page: Page, keep: Callable[[T], bool] = lambda _: True) -> Found[T]:
        found: list[T] = []
        after, descending = page.after, page.order == "desc"
        while len(found) <= page.limit:
            rows = min(page.limit + 1, _ROWS)
            records = self._records.query(self.place(tenant), after=after, limit=rows, descending=descending)
            items = (msgspec.convert(record.item, self._kind) for record in records)
            found += (item for item in items if keep(item))
            if len(records) < rows:
                break
            after = records[-1].id
        return Found(found[: page.limit], len(found) > page.limit)

    def absent(self, id: str) -> NotFound:
        return NotFound(f"There is no {self._noun} {id[:80]!r}; {self._hint}.", param="id")

    def place(self, tenant: str) -> str:
        """The collection of what is a tenant's."""
        return f"{self._collection}/{tenant}"


def _plain(item: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(item)
    return plain
