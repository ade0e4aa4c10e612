"""/v1/keys, for keys with the scope `admin`: what `genai-stack keys` does, by the same code, within what `granting`
allows."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec

from ..errors import Conflict, NotFound
from ..protocol import decode
from . import granting, intake, log
from .exchange import Exchange, Handler
from .keys import ApiKeys, KeyInfo, mint
from .principal import USUAL, KeyScope, Limits, Principal
from .resources.asked import idempotency_key, page, path_id, principal, query
from .resources.once import Once
from .resources.operations import Operation

_YEARS = 10 * 366 * 86_400
_UNSEEN = [(b"cache-control", b"no-store")]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=_YEARS)]


class KeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/keys. Without `scopes` it has inference and files, without `models` it is for every one, without
    `expires_in` (seconds) it has no end; without `tenant` it is the maker's tenant's, where the maker has one, else
    its own."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    tenant: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    scopes: Annotated[list[KeyScope], msgspec.Meta(min_length=1, max_length=8)] | None = None
    models: Annotated[list[str], msgspec.Meta(max_length=256)] | None = None
    expires_in: Seconds | None = None
    limits: Limits | None = None


class RotateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/keys/{id}/rotate. The secret before counts for `overlap` seconds more."""

    overlap: Annotated[int, msgspec.Meta(ge=0, le=_YEARS)] | None = None


class MadeKey(KeyInfo, frozen=True, kw_only=True):
    """`key` is shown this once."""

    key: str


class KeyList(msgspec.Struct, frozen=True):
    data: list[KeyInfo]
    has_more: bool
    first_id: str | None
    last_id: str | None
    object: str = "list"


class KeyDeleted(msgspec.Struct, frozen=True):
    id: str
    object: str = "key.deleted"
    deleted: bool = True


_KEY = "/v1/keys/{id}"
OPERATIONS = (
    Operation("get", "/v1/keys", "listKeys", "List keys", KeyList, query=("after", "limit", "tenant")),
    Operation("post", "/v1/keys", "createKey", "Make a key", MadeKey, KeyRequest),
    Operation("get", _KEY, "showKey", "Show a key, but for its secret", KeyInfo),
    Operation("delete", _KEY, "revokeKey", "Revoke a key", KeyDeleted),
    Operation("post", f"{_KEY}/rotate", "rotateKey", "Give a key another secret", MadeKey, RotateRequest),
)


def routes(keys: ApiKeys, once: Once, max_body_bytes: int) -> dict[str, dict[str, Handler]]:
    async def create(exchange: Exchange) -> None:
        request = decode(KeyRequest, await intake.body(exchange, max_body_bytes))
        who, again = principal(exchange), idempotency_key(exchange)
        made = await asyncio.to_thread(_make, keys, once, who, request, again)
        await _show_once(exchange, "key_made", made)

    async def list_(exchange: Exchange) -> None:
        given, who = query(exchange, "after", "limit", "tenant"), principal(exchange)
        asked = page(given, default=20, most=100)
        whose = given.get("tenant") if who.everywhere else granting.tenant_for(who, given.get("tenant"))
        found = await asyncio.to_thread(keys.page, asked.after, asked.limit + 1, whose)
        shown = found[: asked.limit]
        first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
        whole = KeyList(shown, len(found) > len(shown), first, last)
        await exchange.answer(200, msgspec.json.encode(whole))

    async def show(exchange: Exchange) -> None:
        found = await asyncio.to_thread(_own, keys, principal(exchange), path_id(exchange))
        await exchange.answer(200, msgspec.json.encode(found))

    async def revoke(exchange: Exchange) -> None:
        id = path_id(exchange)
        await asyncio.to_thread(_own, keys, principal(exchange), id)
        await asyncio.to_thread(keys.revoke, id)
        log.administered(exchange, "key_revoked", id)
        await exchange.answer(200, msgspec.json.encode(KeyDeleted(id)))

    async def rotate(exchange: Exchange) -> None:
        body = await intake.body(exchange, max_body_bytes)
        request = decode(RotateRequest, body) if body.strip() else RotateRequest()
        made = await asyncio.to_thread(_rotate, keys, principal(exchange), path_id(exchange), request)
        await _show_once(exchange, "key_rotated", made)

    return {
        "/v1/keys": {"GET": list_, "POST": create},
        _KEY: {"GET": show, "DELETE": revoke},
        f"{_KEY}/rotate": {"POST": rotate},
    }


async def _show_once(exchange: Exchange, event: str, made: MadeKey) -> None:
    log.administered(exchange, event, made.id)
    await exchange.answer(200, msgspec.json.encode(made), headers=_UNSEEN)


def _make(keys: ApiKeys, once: Once, who: Principal, request: KeyRequest, again: bytes | None) -> MadeKey:
    """With an Idempotency-Key one key is made, and a second request for it is refused: nothing can show it again."""
    tenant = granting.tenant_for(who, request.tenant)
    scopes, limits = request.scopes or USUAL, request.limits or Limits()
    expires = None if request.expires_in is None else time.time() + request.expires_in
    granting.check_gift(who, scopes, request.models, expires, limits)
    claim = once.claim(who.tenant, again, f"keys {request}", mint()[0])
    if claim.made:
        raise _shown(claim.id)
    try:
        id, key = keys.create(
            request.name,
            tenant=tenant,
            scopes=scopes,
            models=request.models or (),
            lasts=request.expires_in,
            limits=limits,
            id=claim.id,
        )
    except Conflict:
        raise _shown(claim.id) from None
    once.made(who.tenant, again, claim)
    return _made(keys.get(id), key)


def _shown(id: str) -> Conflict:
    return Conflict(
        f"{id} was made with this Idempotency-Key, and shown then; rotate it for another secret.",
        code="key_shown_once",
    )


def _rotate(keys: ApiKeys, who: Principal, id: str, request: RotateRequest) -> MadeKey:
    there = _own(keys, who, id)
    if there.id != who.id:
        granting.check_gift(who, there.scopes, there.models, there.expires, there.limits)
    return _made(there, keys.rotate(id, overlap=float(request.overlap or 0)))


def _own(keys: ApiKeys, who: Principal, id: str) -> KeyInfo:
    """Raises NotFound, for another tenant's as for none."""
    found = keys.get(id)
    if not who.everywhere and (found.tenant != who.tenant or found.everywhere):
        raise NotFound(keys.missing(id))
    return found


def _made(info: KeyInfo, key: str) -> MadeKey:
    return MadeKey(**msgspec.structs.asdict(info), key=key)
