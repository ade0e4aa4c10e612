"""/v1/uploads: create, parts, complete, cancel."""

from __future__ import annotations

import asyncio

import msgspec

from ...errors import RequestError
from ...protocol.decoding import decode
from ...protocol.files import CompleteRequest, Upload, UploadPart, UploadRequest
from .. import intake
from ..exchange import Exchange, Handler
from .asked import idempotency_key, path_id, tenant
from .files import Files
from .forms import Unfinished, receive
from .uploads import PART_BYTES, Uploads


def routes(uploads: Uploads, files: Files, max_body_bytes: int) -> dict[str, dict[str, Handler]]:
    async def create(exchange: Exchange) -> None:
        request = decode(UploadRequest, await intake.body(exchange, max_body_bytes))
        key = idempotency_key(exchange)
        await _show(exchange, await asyncio.to_thread(uploads.create, tenant(exchange), request, key))

    async def add_part(exchange: Exchange) -> None:
        owner, id, key = tenant(exchange), path_id(exchange), idempotency_key(exchange)
        await asyncio.to_thread(uploads.pending, owner, id)
        try:
            form, blob = await receive(exchange, "data", PART_BYTES, files.store)
        except Unfinished as unfinished:
            await asyncio.to_thread(files.drop, unfinished.stored)
            raise unfinished.error from None
        if form.fields:
            await asyncio.to_thread(files.drop, blob)
            name = next(iter(form.fields))[:80]
            raise RequestError(
                f"'{name}' isn't a known field; leave it out.", param=name, code="unknown_parameter"
            )
        part = await asyncio.to_thread(uploads.add_part, owner, id, blob, key)
        await exchange.answer(200, msgspec.json.encode(UploadPart(part.id, part.created_at, id)))

    async def complete(exchange: Exchange) -> None:
        request = decode(CompleteRequest, await intake.body(exchange, max_body_bytes))
        await _show(
            exchange, await asyncio.to_thread(uploads.complete, tenant(exchange), path_id(exchange), request)
        )

    async def cancel(exchange: Exchange) -> None:
        await intake.body(exchange, max_body_bytes)
        await _show(exchange, await asyncio.to_thread(uploads.cancel, tenant(exchange), path_id(exchange)))

    return {
        "/v1/uploads": {"POST": create},
        "/v1/uploads/{id}/parts": {"POST": add_part},
        "/v1/uploads/{id}/complete": {"POST": complete},
        "/v1/uploads/{id}/cancel": {"POST": cancel},
    }


async def _show(exchange: Exchange, upload: Upload) -> None:
    await exchange.answer(200, msgspec.json.encode(upload))
