"""Idempotency-Key where a model answers: the first answer is kept for a day, and given to whoever asks the same again.

The first to come with a key takes a lease on it and asks the model; whoever comes meanwhile waits for its end. The
answer is written down before its last byte goes out, so that what a client has seen whole is what it gets again, byte
for byte, streams included. Only success is kept: after a refusal, a failure, or a stream whose client left, the next
one with the key asks the model anew. So it does when the process that had the lease dies.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import secrets
import threading
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
from starlette.types import Message

from ..errors import ConditionFailed, Conflict
from ..ports import RecordStore
from .exchange import Exchange, UntilGone
from .resources.once import KEPT_SECONDS, reused
from .streaming import KEEP_ALIVE

COLLECTION = "answers"
LEASE_SECONDS = 60.0
"""A process that hasn't said for so long that it still answers is taken for dead."""
WAIT_MOST_SECONDS = 900.0
MOST_BYTES = 16 * 1024 * 1024
"""Of an answer that is kept, packed."""
PIECE = 192 * 1024
"""Bytes of an answer in one record, before base64: 256 KiB of DynamoDB's 400 kB."""
_POLL_FIRST, _POLL_MOST = 0.02, 0.5
logger = logging.getLogger("genai_stack.service")


class Claim(msgspec.Struct, frozen=True, omit_defaults=True):
    """`asked` is the digest of what was asked, empty where the key is free. While `pieces` is 0 the model is being
    asked, by `owner`, which holds until `until` (Unix seconds); then the answer lies in so many records, packed."""

    asked: str
    owner: str
    until: float
    pieces: int = 0
    kind: str = ""


class Kept(msgspec.Struct, frozen=True):
    kind: bytes
    body: bytes


class Answers:
    """The answers in `records`."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    async def once(
        self, exchange: Exchange, tenant: str, key: bytes, asked: bytes, answer: Callable[[], Awaitable[None]]
    ) -> None:
        """Answers `exchange` by `answer`, or as the first one with this key was answered. Raises Conflict when the key
        was used for something else than `asked`, or when the first one takes too long; ClientGone while it waits; and
        what `answer` raises."""
        lease = Lease(self._records, tenant, key, hashlib.sha256(asked).hexdigest())
        kept = await _waited(exchange, lease)
        if kept is not None:
            again = [(b"idempotent-replayed", b"true")]
            await exchange.answer(200, kept.body, kind=kept.kind, headers=again)
            return
        renewing = asyncio.create_task(_renewed(lease))
        recording = Recording(exchange, lease)
        try:
            await answer()
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if not recording.kept:
                await asyncio.to_thread(lease.release)

    @asynccontextmanager
    async def turn(self, exchange: Exchange, tenant: str, key: bytes, asked: bytes) -> AsyncIterator[None]:
        """While inside, nobody else answers a request with this key, for what is kept elsewhere. Raises what `once`
        does while it waits."""
        lease = Lease(self._records, tenant, key, hashlib.sha256(asked).hexdigest())
        if await _waited(exchange, lease) is not None:
            raise reused()
        renewing = asyncio.create_task(_renewed(lease))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            await asyncio.to_thread(lease.release)


class Recording:
    """Listens to what `exchange` sends. A whole answer is kept just before its end goes out, a stream's with `[DONE]`;
    where the store fails then, the client has its answer all the same, and the key is free again."""

    def __init__(self, exchange: Exchange, lease: Lease) -> None:
        self.kept = False
        self._exchange, self._lease = exchange, lease
        self._send = exchange.tap(self._heard)
        self._kind = ""
        self._body = bytearray()
        self._held: list[Message] = []

    async def _heard(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] != 200:
                self._exchange.tap(self._send)
            self._kind = dict(message["headers"])[b"content-type"].decode("latin-1")
        elif (body := message.get("body", b"")) is not KEEP_ALIVE:
            self._body += body
        last = message["type"] == "http.response.body" and not message.get("more_body")
        if last and self._exchange.status == 200 and not self._exchange.broken:
            await self._keep()
        if not last and message.get("body", b"").startswith(b"data: [DONE]"):
            self._held.append(message)
            return
        for held in self._held:
            await self._send(held)
        self._held.clear()
        await self._send(message)

    async def _keep(self) -> None:
        try:
            self.kept = await asyncio.to_thread(self._lease.keep, self._kind, bytes(self._body))
        except Exception as error:
            logger.error('{"event":"answer_unkept","error":"%s"}', type(error).__qualname__)


class Lease:
    """One request's claim on a key. All of it waits on the store: call it in a thread."""

    def __init__(self, records: RecordStore, tenant: str, key: bytes, asked: str) -> None:
        self._records = records
        self._place, self._id = f"{COLLECTION}/{tenant}", hashlib.sha256(key).hexdigest()
        self._asked, self._owner = asked, secrets.token_hex(8)
        self._version = 0
        self._lock = threading.Lock()

    def take(self) -> Kept | bool:
        """The answer that there is; else whether the lease is ours now. Raises Conflict."""
        with self._lock:
            record, now = self._records.get(self._place, self._id), time.time()
            if record is not None:
                there = msgspec.convert(record.item, Claim)
                if there.asked not in ("", self._asked):
                    raise reused()
                if there.pieces:
                    return self._read(there)
                if there.until > now:
                    return False
            claim = Claim(self._asked, self._owner, now + LEASE_SECONDS)
            return self._put(claim, record.version if record else 0)

    def renew(self) -> None:
        with self._lock:
            if self._version:
                self._put(Claim(self._asked, self._owner, time.time() + LEASE_SECONDS), self._version)

    def release(self) -> None:
        """Nothing happens where it isn't ours. The record stays, and its versions count on: one that was deleted and
        made again could be at a version that a request from before still holds for its own."""
        with self._lock:
            if self._version:
                self._put(Claim("", self._owner, 0.0), self._version)
                self._version = 0

    def keep(self, kind: str, body: bytes) -> bool:
        """Whether the answer is kept: not one that is too large, nor where somebody else has the lease by now."""
        packed = zlib.compress(body, 1)
        if len(packed) > MOST_BYTES:
            return False
        pieces = range(0, len(packed), PIECE)
        for number, start in enumerate(pieces):
            item = {"part": base64.b64encode(packed[start : start + PIECE]).decode()}
            expires = time.time() + KEPT_SECONDS + LEASE_SECONDS
            self._records.put(self._place, self._piece(self._owner, number), item, expires=expires)
        with self._lock:
            kept = self._put(Claim(self._asked, self._owner, 0.0, len(pieces), kind), self._version)
            self._version = 0
            return kept

    def _read(self, claim: Claim) -> Kept:
        found = [self._records.get(self._place, self._piece(claim.owner, n)) for n in range(claim.pieces)]
        packed = b"".join(base64.b64decode(piece.item["part"]) for piece in found if piece is not None)
        return Kept(claim.kind.encode("latin-1"), zlib.decompress(packed))

    def _piece(self, owner: str, number: int) -> str:
        return f"{self._id}/{owner}/{number:04}"

    def _put(self, claim: Claim, version: int) -> bool:
        item, expires = msgspec.to_builtins(claim), time.time() + KEPT_SECONDS
        try:
            record = self._records.put(self._place, self._id, item, if_version=version, expires=expires)
        except ConditionFailed:
            return False
        self._version = record.version
        return True


async def _waited(exchange: Exchange, lease: Lease) -> Kept | None:
    """None once the lease is ours. Raises Conflict, ClientGone."""
    try:
        with UntilGone(exchange):
            return await _taken(lease)
    except BaseException:
        await asyncio.to_thread(lease.release)
        raise


async def _taken(lease: Lease) -> Kept | None:
    """None once the lease is ours. Raises Conflict."""
    pause, until = _POLL_FIRST, time.monotonic() + WAIT_MOST_SECONDS
    while not (found := await asyncio.to_thread(lease.take)):
        if time.monotonic() > until:
            raise _running()
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _POLL_MOST)
    return None if found is True else found


async def _renewed(lease: Lease) -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 3)
        try:
            await asyncio.to_thread(lease.renew)
        except Exception as error:
            logger.error('{"event":"lease_unrenewed","error":"%s"}', type(error).__qualname__)


def _running() -> Conflict:
    error = Conflict(
        "The first request with this Idempotency-Key is still being answered; ask again in a moment.",
        code="idempotency_key_in_use",
    )
    error.should_retry, error.retry_after = True, 15.0
    return error
