"""What the ledger adds up to: by day, key, model and tenant, over some days."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Literal, get_args

import msgspec

from ..errors import RequestError
from ..ports import Record, RecordStore
from .ledger import TENANTS, Entry, Page, collection, day_of

Column = Literal["day", "tenant", "key", "model"]
COLUMNS: tuple[Column, ...] = get_args(Column)
MOST_DAYS = 400
_ROWS = 100
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class UsageRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sums over what it doesn't name. `requests` are all of them, `failed` those that weren't answered whole; a batch
    or a fine-tune is one. `nano_usd` is in billionths of a dollar, `usd` the same for the eye."""

    day: str = ""
    tenant: str = ""
    key: str = ""
    model: str = ""
    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    nano_usd: int = 0
    usd: float = 0.0


def span(first: str | None, last: str | None, now: float) -> tuple[str, str]:
    """The days asked for, both included: the month so far unless told. Raises RequestError."""
    today = day_of(now)
    end = _day(last, "to") if last else _day(today, "to")
    begin = _day(first, "from") if first else min(end, _day(today[:8] + "01", "from"))
    if begin > end:
        raise RequestError("'from' comes after 'to'; turn them round.", param="from", code="invalid_value")
    if end - begin > timedelta(MOST_DAYS):
        raise RequestError(f"That is over {MOST_DAYS} days; ask for fewer.", param="from", code="invalid_value")
    return begin.isoformat(), end.isoformat()


def tenants(records: RecordStore) -> list[str]:
    return [record.id for record in _every(records, TENANTS, "", lambda _id: False)]


def entries(records: RecordStore, tenant: str, first: str, last: str) -> Iterator[Entry]:
    """In the order of days; within one in the order of pages."""
    after_last = f"{last}/\U0010ffff"
    for record in _every(records, collection(tenant), f"{first}/", lambda id: id > after_last):
        yield from msgspec.convert(record.item, Page).entries


def add_up(found: Iterable[Entry], by: Iterable[Column]) -> list[UsageRow]:
    """A row for each combination of `by`, in their order."""
    columns = tuple(by)
    sums: dict[tuple[str, ...], list[int]] = {}
    for entry in found:
        name = tuple(day_of(entry.time) if column == "day" else getattr(entry, column) for column in columns)
        row = sums.setdefault(name, [0] * 6)
        row[0] += 1
        row[1] += entry.outcome != "answered"
        row[2] += entry.prompt
        row[3] += entry.cached
        row[4] += entry.completion
        row[5] += entry.cost
    return [_row(dict(zip(columns, name, strict=True)), row) for name, row in sorted(sums.items())]


def total(found: Iterable[UsageRow]) -> UsageRow:
    rows = list(found)
    names = ("requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "nano_usd")
    return _row({}, [sum(getattr(row, name) for row in rows) for name in names])


def usage(
    records: RecordStore, whose: Iterable[str], first: str, last: str, by: Iterable[Column]
) -> list[UsageRow]:
    """Waits on the store: call it in a thread."""
    return add_up((entry for tenant in whose for entry in entries(records, tenant, first, last)), by)


def _row(names: Mapping[Column, str], row: list[int]) -> UsageRow:
    return UsageRow(
        day=names.get("day", ""),
        tenant=names.get("tenant", ""),
        key=names.get("key", ""),
        model=names.get("model", ""),
        requests=row[0],
        failed=row[1],
        prompt_tokens=row[2],
        cached_tokens=row[3],
        completion_tokens=row[4],
        nano_usd=row[5],
        usd=row[5] / 1e9,
    )


def _every(records: RecordStore, place: str, after: str, over: Callable[[str], bool]) -> Iterator[Record]:
    while page := records.query(place, after=after or None, limit=_ROWS):
        for record in page:
            if over(record.id):
                return
            yield record
        after = page[-1].id


def _day(text: str, param: str) -> date:
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise RequestError(
            f"'{param}' is a day such as 2026-11-24; correct it or leave it out.",
            param=param,
            code="invalid_value",
        ) from None
