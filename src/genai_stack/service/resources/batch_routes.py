"""/v1/batches: create, list, retrieve, cancel."""

from __future__ import annotations

import asyncio

import msgspec

from ...protocol.batches import BatchList, BatchRequest
from ...protocol.decoding import decode
from .. import intake
from ..exchange import Exchange, Handler
from ..limits import Limiter
from .asked import idempotency_key, page, path_id, principal, query, tenant
from .batch_records import StoredBatch
from .batches import Batches


def routes(batches: Batches, limiter: Limiter, max_body_bytes: int) -> dict[str, dict[str, Handler]]:
    async def create(exchange: Exchange) -> None:
        request = decode(BatchRequest, await intake.body(exchange, max_body_bytes))
        key, by = idempotency_key(exchange), principal(exchange)
        await limiter.check(by)
        await _show(exchange, await asyncio.to_thread(batches.create, by.tenant, request, key, by))

    async def list_(exchange: Exchange) -> None:
        asked = page(query(exchange, "after", "limit"), default=20, most=100)
        found = await asyncio.to_thread(batches.page, tenant(exchange), asked)
        shown = [batch.shown() for batch in found.items]
        first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
        await exchange.answer(200, msgspec.json.encode(BatchList(shown, found.has_more, first, last)))

    async def show(exchange: Exchange) -> None:
        await _show(exchange, await asyncio.to_thread(batches.get, tenant(exchange), path_id(exchange)))

    async def cancel(exchange: Exchange) -> None:
        await intake.body(exchange, max_body_bytes)
        await _show(exchange, await asyncio.to_thread(batches.cancel, tenant(exchange), path_id(exchange)))

    return {
        "/v1/batches": {"GET": list_, "POST": create},
        "/v1/batches/{id}": {"GET": show},
        "/v1/batches/{id}/cancel": {"POST": cancel},
    }


async def _show(exchange: Exchange, batch: StoredBatch) -> None:
    await exchange.answer(200, msgspec.json.encode(batch.shown()))
