"""GET /v1/usage: what was used and what it cost, the asking key's tenant's own, or everybody's for an admin."""

from __future__ import annotations

import asyncio
import time

import msgspec

from ..errors import Forbidden, RequestError
from ..ports import RecordStore
from . import accounts
from .accounts import COLUMNS, Column, UsageRow
from .exchange import Exchange, Handler
from .resources.asked import principal, query


class UsageReport(msgspec.Struct, frozen=True):
    """Days are UTC, `first` and `last` included. An entry is in it a second or two after its request has ended."""

    first: str
    last: str
    data: list[UsageRow]
    total: UsageRow
    object: str = "usage"
    currency: str = "usd"


def shown(records: RecordStore) -> Handler:
    async def handle(exchange: Exchange) -> None:
        given = query(exchange, "from", "to", "by", "tenant")
        first, last = accounts.span(given.get("from"), given.get("to"), time.time())
        by = columns(given.get("by", "day,model,key"))
        who = principal(exchange)
        asked = given.get("tenant")
        if not who.everywhere and asked not in (None, who.tenant):
            raise Forbidden(
                "Another tenant's usage takes an admin's key without a tenant; leave 'tenant' out for your own.",
                code="insufficient_scope",
                param="tenant",
            )

        def read() -> list[UsageRow]:
            own = accounts.tenants(records) if who.everywhere else [who.tenant]
            return accounts.usage(records, [asked] if asked is not None else own, first, last, by)

        rows = await asyncio.to_thread(read)
        await exchange.answer(200, msgspec.json.encode(UsageReport(first, last, rows, accounts.total(rows))))

    return handle


def columns(text: str) -> tuple[Column, ...]:
    """Raises RequestError."""
    asked = tuple(column for column in COLUMNS if column in text.split(","))
    if not text or set(text.split(",")) - set(COLUMNS):
        raise RequestError(
            f"'by' is some of {','.join(COLUMNS)}, with commas between them; correct it or leave it out.",
            param="by",
            code="invalid_value",
        )
    return asked
