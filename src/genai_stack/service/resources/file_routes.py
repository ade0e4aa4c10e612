"""/v1/files: create, list, retrieve, content, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, get_args

import msgspec

from ...errors import GenAIStackError, RequestError
from ...ports import ObjectInfo
from ...protocol.files import ExpiresAfter, FileDeleted, FileList, MadePurpose, Purpose
from ..exchange import Exchange, Handler
from .asked import idempotency_key, page, path_id, query, tenant
from .contents import Content, send
from .files import Files, StoredFile, checked_name
from .forms import Form, Unfinished, receive

MOST = 10_000
PURPOSES = get_args(Purpose)


def routes(files: Files, max_bytes: int) -> dict[str, dict[str, Handler]]:
    async def create(exchange: Exchange) -> None:
        key, owner = idempotency_key(exchange), tenant(exchange)
        form, blob = await _received(files, exchange, max_bytes)
        try:
            purpose, expires = _purpose(form), _expires(form.fields)
            name = checked_name(form.filename)
        except GenAIStackError:
            await asyncio.to_thread(files.drop, blob)
            raise
        made = await asyncio.to_thread(files.create, owner, blob, name, purpose, expires, key)
        await _show(exchange, made)

    async def list_(exchange: Exchange) -> None:
        given = query(exchange, "after", "limit", "order", "purpose")
        purpose = given.get("purpose")
        if purpose is not None and purpose not in (known := PURPOSES + get_args(MadePurpose)):
            raise RequestError(
                f"'purpose' is one of {', '.join(known)}; correct it.", param="purpose", code="invalid_value"
            )
        asked = page(given, default=MOST, most=MOST)
        found = await asyncio.to_thread(files.page, tenant(exchange), asked, purpose)
        shown = [file.shown() for file in found.items]
        first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
        await exchange.answer(200, msgspec.json.encode(FileList(shown, found.has_more, first, last)))

    async def show(exchange: Exchange) -> None:
        await _show(exchange, await asyncio.to_thread(files.get, tenant(exchange), path_id(exchange)))

    async def content(exchange: Exchange) -> None:
        file = await asyncio.to_thread(files.get, tenant(exchange), path_id(exchange))
        read = partial(files.read, file)
        told = Content(file.filename, file.bytes, file.sha256, read, files.absent(file.id))
        await send(exchange, told)

    async def delete(exchange: Exchange) -> None:
        id = path_id(exchange)
        await asyncio.to_thread(files.delete, tenant(exchange), id)
        await exchange.answer(200, msgspec.json.encode(FileDeleted(id)))

    return {
        "/v1/files": {"GET": list_, "POST": create},
        "/v1/files/{id}": {"GET": show, "DELETE": delete},
        "/v1/files/{id}/content": {"GET": content},
    }


async def _received(files: Files, exchange: Exchange, max_bytes: int) -> tuple[Form, ObjectInfo]:
    try:
        return await receive(exchange, "file", max_bytes, files.store)
    except Unfinished as unfinished:
        await asyncio.to_thread(files.drop, unfinished.stored)
        raise unfinished.error from None


async def _show(exchange: Exchange, file: StoredFile) -> None:
    await exchange.answer(200, msgspec.json.encode(file.shown()))


def _purpose(form: Form) -> Purpose:
    given = form.fields.get("purpose")
    if given is None:
        raise RequestError("'purpose' is missing; send it.", param="purpose", code="missing_required_parameter")
    if given not in PURPOSES:
        raise RequestError(
            f"'purpose' is one of {', '.join(PURPOSES)}; correct it.", param="purpose", code="unsupported_value"
        )
    purpose: Purpose = msgspec.convert(given, Purpose)
    return purpose


def _expires(fields: Mapping[str, str]) -> ExpiresAfter | None:
    """From `expires_after[anchor]` and `expires_after[seconds]`. Raises RequestError, for other fields too."""
    given: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "purpose":
            continue
        if name not in ("expires_after[anchor]", "expires_after[seconds]"):
            raise RequestError(
                f"'{name[:80]}' isn't a known field; leave it out.", param=name[:80], code="unknown_parameter"
            )
        given[name[14:-1]] = value
    if not given:
        return None
    try:
        return msgspec.convert(given, ExpiresAfter, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(
            f"'expires_after' is invalid: {str(error)[:200]}; correct it or leave it out.",
            param="expires_after",
            code="invalid_value",
        ) from None
