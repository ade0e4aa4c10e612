"""API keys: made from 256 random bits, shown once, kept as a hash.

A key reads `sk-gs-<id>-<secret>`; its record is found by the id and holds the SHA-256 of the whole key, which is
compared in constant time. The master key is whatever the person running the stack chose; it has no record.
"""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence

import msgspec

from ..errors import ConditionFailed, Conflict, NotFound, RequestError, Unauthorized
from ..ports import Record, RecordStore
from .principal import MASTER, UNLIMITED, USUAL, KeyScope, Limits, Principal, checked_models, checked_tenant

COLLECTION = "keys"
CACHE_SECONDS = 5.0
"""How long another process's revocation may take to be seen here; this process's own is seen at once."""
_CACHED_MOST = 4096
_KEY = re.compile(rb"sk-gs-([0-9a-f]{16})-[A-Za-z0-9_-]{43}")
_ID = re.compile("[0-9a-f]{16}")
_PAGE = 100


class Former(msgspec.Struct, frozen=True):
    """The hash of the key before the last rotation, and until when (Unix seconds) it still counts."""

    sha256: str
    until: float


class StoredKey(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key's record. Times are Unix seconds. A key without a tenant is its own."""

    name: str
    created: float
    sha256: str
    tenant: str | None = None
    scopes: tuple[KeyScope, ...] = USUAL
    models: tuple[str, ...] | None = None
    expires: float | None = None
    limits: Limits = UNLIMITED
    rotated: float | None = None
    former: Former | None = None


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """All that may be shown of a key. Times are Unix seconds."""

    id: str
    name: str
    created: float
    tenant: str
    scopes: tuple[KeyScope, ...]
    models: tuple[str, ...] | None
    expires: float | None
    rotated: float | None
    limits: Limits
    object: str = "key"

    @property
    def everywhere(self) -> bool:
        """As a Principal's."""
        return self.tenant == self.id and "admin" in self.scopes


class ApiKeys:
    """The keys in `records`, and the master key. All but `verify` wait on the store: call them in a thread."""

    def __init__(self, records: RecordStore, master: str | None = None) -> None:
        self._records = records
        self._master = _hash(master.encode()) if master else None
        self._cache: dict[bytes, tuple[float, Principal]] = {}

    async def verify(self, presented: bytes) -> Principal:
        """Raises Unauthorized. A key is looked up at most once in CACHE_SECONDS."""
        digest = _hash(presented)
        if self._master is not None and hmac.compare_digest(digest, self._master):
            return MASTER
        now = time.monotonic()
        if (cached := self._cache.get(digest)) and cached[0] > now:
            return cached[1]
        found = _KEY.fullmatch(presented)
        known = await asyncio.to_thread(self._look_up, found[1].decode(), digest) if found else None
        if known is None:
            raise Unauthorized("The key isn't valid here; check it, or make one with: genai-stack keys create")
        principal, left = known
        if left <= 0:
            raise Unauthorized(
                "The key has expired; make another with: genai-stack keys create", code="expired_api_key"
            )
        if len(self._cache) >= _CACHED_MOST:
            self._cache.clear()
        self._cache[digest] = (now + min(left, CACHE_SECONDS), principal)
        return principal

    def create(
        self,
        name: str,
        *,
        tenant: str | None = None,
        scopes: Sequence[KeyScope] = USUAL,
        models: Sequence[str] = (),
        lasts: float | None = None,
        limits: Limits = UNLIMITED,
        id: str | None = None,
    ) -> tuple[str, str]:
        """The new key's id, a fresh one unless it is given, and the key itself, which nothing can show again. It
        expires in `lasts` seconds. Without `models` it is for every one. Raises RequestError; Conflict where the id is
        taken."""
        if not scopes:
            raise RequestError("a key has a scope at least; give one of them", param="scopes")
        id, key = mint(id)
        now = time.time()
        stored = StoredKey(
            name=name,
            created=now,
            sha256=_hash(key.encode()).hex(),
            tenant=None if tenant is None else checked_tenant(tenant),
            scopes=tuple(dict.fromkeys(scopes)),
            models=checked_models(tuple(models)),
            expires=None if lasts is None else now + lasts,
            limits=limits,
        )
        try:
            self._records.put(COLLECTION, id, msgspec.to_builtins(stored), if_version=0)
        except ConditionFailed:
            raise Conflict(f"there is a key {id} already") from None
        return id, key

    def get(self, id: str) -> KeyInfo:
        """Raises NotFound."""
        return _info(self._found(id))

    def page(self, after: str | None, limit: int, tenant: str | None = None) -> list[KeyInfo]:
        """In the order of their ids, those behind `after`: of one tenant, or of all."""
        found: list[KeyInfo] = []
        while len(found) < limit and (page := self._records.query(COLLECTION, after=after, limit=_PAGE)):
            infos = (_info(record) for record in page)
            found += [info for info in infos if tenant in (None, info.tenant)]
            after = page[-1].id
        return found[:limit]

    def list(self) -> builtins.list[KeyInfo]:
        found: builtins.list[KeyInfo] = []
        after: str | None = None
        while page := self._records.query(COLLECTION, after=after, limit=_PAGE):
            found += [_info(record) for record in page]
            after = page[-1].id
        return sorted(found, key=lambda key: (key.created, key.id))

    def rotate(self, id: str, *, overlap: float = 0.0) -> str:
        """Another secret for the same id, shown this once; who owns what stays as it is. The one before counts for
        `overlap` seconds more. Raises NotFound."""
        while True:
            record = self._found(id)
            now = time.time()
            key = f"sk-gs-{id}-{secrets.token_urlsafe(32)}"
            stored = msgspec.convert(record.item, StoredKey)
            former = Former(stored.sha256, now + overlap) if overlap > 0 else None
            after = msgspec.structs.replace(
                stored, sha256=_hash(key.encode()).hex(), rotated=now, former=former
            )
            try:
                self._records.put(COLLECTION, id, msgspec.to_builtins(after), if_version=record.version)
            except ConditionFailed:
                continue
            self._forget(id)
            return key

    def revoke(self, id: str) -> None:
        """Raises NotFound."""
        self._found(id)
        self._records.delete(COLLECTION, id)
        self._forget(id)

    def _found(self, id: str) -> Record:
        record = self._records.get(COLLECTION, id) if _ID.fullmatch(id) else None
        if record is None:
            raise NotFound(self.missing(id))
        return record

    @staticmethod
    def missing(id: str) -> str:
        return f"There is no key {id[:80]!r}; see: genai-stack keys list"

    def _forget(self, id: str) -> None:
        self._cache = {digest: kept for digest, kept in self._cache.items() if kept[1].id != id}

    def _look_up(self, id: str, digest: bytes) -> tuple[Principal, float] | None:
        """Whose key it is and for how many seconds more; None when it isn't one."""
        record = self._records.get(COLLECTION, id)
        if record is None:
            return None
        stored = msgspec.convert(record.item, StoredKey)
        until = stored.expires if stored.expires is not None else float("inf")
        if not hmac.compare_digest(stored.sha256, digest.hex()):
            former = stored.former
            if former is None or not hmac.compare_digest(former.sha256, digest.hex()):
                return None
            until = min(until, former.until)
        return _principal(id, stored), until - time.time()


def mint(id: str | None = None) -> tuple[str, str]:
    """A new key's id and the key: 64 bits to find it by, 256 bits to trust it by."""
    id = id or secrets.token_hex(8)
    return id, f"sk-gs-{id}-{secrets.token_urlsafe(32)}"


def _principal(id: str, key: StoredKey) -> Principal:
    return Principal(id, key.name, key.tenant or id, key.scopes, key.models, key.limits, key.expires)


def _info(record: Record) -> KeyInfo:
    key = msgspec.convert(record.item, StoredKey)
    return KeyInfo(
        id=record.id,
        name=key.name,
        created=key.created,
        tenant=key.tenant or record.id,
        scopes=key.scopes,
        models=key.models,
        expires=key.expires,
        rotated=key.rotated,
        limits=key.limits,
    )


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
