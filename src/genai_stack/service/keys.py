"""API keys: made from 256 random bits, shown once, kept as a hash.

A key reads `sk-gs-<id>-<secret>`; its record is found by the id and holds the SHA-256 of the whole key, which is
compared in constant time. The master key is whatever the person running the stack chose; it has no record.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time

import msgspec

from ..errors import NotFound, Unauthorized
from ..ports import Record, RecordStore

COLLECTION = "keys"
CACHE_SECONDS = 5.0
"""How long another process's revocation may take to be seen here; this process's own is seen at once."""
_CACHED_MOST = 4096
_KEY = re.compile(rb"sk-gs-([0-9a-f]{16})-[A-Za-z0-9_-]{43}")
_PAGE = 100


class Principal(msgspec.Struct, frozen=True):
    """Who a request comes from. `id` is safe to log."""

    id: str
    name: str


class KeyInfo(msgspec.Struct, frozen=True):
    """`created` is Unix seconds."""

    id: str
    name: str
    created: float


MASTER = Principal("master", "master")


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
        principal = await asyncio.to_thread(self._look_up, found[1].decode(), digest) if found else None
        if principal is None:
            raise Unauthorized("The key isn't valid here; check it, or make one with: genai-stack keys create")
        if len(self._cache) >= _CACHED_MOST:
            self._cache.clear()
        self._cache[digest] = (now + CACHE_SECONDS, principal)
        return principal

    def create(self, name: str) -> tuple[str, str]:
        """The new key's id, and the key itself, which nothing can show again."""
        id, key = mint()
        item = {"name": name, "created": time.time(), "sha256": _hash(key.encode()).hex()}
        self._records.put(COLLECTION, id, item, if_version=0)
        return id, key

    def list(self) -> list[KeyInfo]:
        found: list[KeyInfo] = []
        after: str | None = None
        while page := self._records.query(COLLECTION, after=after, limit=_PAGE):
            found += [KeyInfo(r.id, r.item["name"], r.item["created"]) for r in page]
            after = page[-1].id
        return sorted(found, key=lambda key: (key.created, key.id))

    def revoke(self, id: str) -> None:
        """Raises NotFound."""
        if self._records.get(COLLECTION, id) is None:
            raise NotFound(f"There is no key {id!r}; see: genai-stack keys list")
        self._records.delete(COLLECTION, id)
        self._cache = {digest: kept for digest, kept in self._cache.items() if kept[1].id != id}

    def _look_up(self, id: str, digest: bytes) -> Principal | None:
        record: Record | None = self._records.get(COLLECTION, id)
        if record is None or not hmac.compare_digest(record.item["sha256"], digest.hex()):
            return None
        return Principal(record.id, record.item["name"])


def mint() -> tuple[str, str]:
    """A new key's id and the key: 64 bits to find it by, 256 bits to trust it by."""
    id = secrets.token_hex(8)
    return id, f"sk-gs-{id}-{secrets.token_urlsafe(32)}"


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
