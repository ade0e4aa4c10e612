"""The ledger: one entry for each request that a model was asked with, and for each batch and fine-tune at its end.

Requests don't wait for it. An entry waits in memory for FLUSH_SECONDS at most, then it is written with those beside
it, a page for each tenant and day; a page has its id before it is written the first time, so that one whose answer was
lost is written again and counts once. When the server stops everything is written before it ends. A process that is
killed (kill -9, a power cut) loses the entries that waited: those of its last FLUSH_SECONDS, longer only while the
store is down. Where the process may be frozen between requests, an answer's last byte waits for its entry. While MOST
entries wait, requests are refused.

An entry knows a key by its id and a model by a name the registry knows. Nothing of a prompt or an answer gets in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Literal

import msgspec

from ..errors import ConditionFailed, NotDeployedError
from ..ports import RecordStore

FLUSH_SECONDS = 1.0
PAGE = 500
MOST = 20_000
SETTLING_SECONDS = 5.0
"""How long an answer's end waits for the store, where it does."""
CLOSING_SECONDS = 10.0
"""How long a stopping server tries to write to a store that doesn't answer."""
TENANTS = "ledger-tenants"
logger = logging.getLogger("genai_stack.service")

Outcome = Literal["answered", "refused", "failed", "left"]
"""`refused`: for something in the request, or a limit; `failed`: the model or the service did, in the middle of a
stream too; `left`: the client was gone before the end."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """`time` is when it ended, in Unix seconds; `cost` is in nanodollars; `first` (to the first byte) and `seconds` are
    the request's. `model` is empty where the request named none there is. `what` is the request's id, the batch's or
    the fine-tuning job's. `served` are the seconds that the model or the job took, which a price by the hour goes by.
    Kept by position: new fields go to the end, with a default."""

    time: float
    tenant: str
    key: str
    model: str
    route: str
    status: int
    outcome: Outcome
    prompt: int
    completion: int
    cached: int
    cost: int
    first: float | None
    seconds: float
    what: str
    served: float = 0.0


class Page(msgspec.Struct, frozen=True):
    entries: tuple[Entry, ...]


def day_of(moment: float) -> str:
    """The day in UTC, as 2026-11-24."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment))


def collection(tenant: str) -> str:
    return f"ledger/{tenant}"


class Ledger:
    """`note` and `close` are for the event loop; `charge` and `write` wait on the store: call them in a thread."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._waiting: list[Entry] = []
        self._unwritten: list[tuple[str, str, Page]] = []
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.Task[None] | None = None
        self._known: set[str] = set()
        self._closing = False
        self._writing = asyncio.Lock()

    def check(self) -> None:
        """Raises NotDeployedError when what was used can't be written down."""
        if len(self._waiting) + self._held >= MOST:
            error = NotDeployedError("The ledger can't be written at the moment; try again in a few seconds.")
            error.retry_after = 5.0
            raise error

    def note(self, entry: Entry) -> None:
        """Returns at once."""
        self._waiting.append(entry)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._due)

    async def settled(self) -> None:
        """Writes what waits, for a process that may stand still once its answer has ended. What the store doesn't take
        within SETTLING_SECONDS waits on."""
        until, tried = time.monotonic() + SETTLING_SECONDS, False
        while (self._waiting or self._held) and (left := until - time.monotonic()) > 0:
            if self._flush is None or self._flush.done():
                if tried:
                    return
                self._flush, tried = asyncio.create_task(self._flushed()), True
            await asyncio.wait((self._flush,), timeout=left)

    async def close(self) -> None:
        """Writes what waits. Entries that the store doesn't take are counted in the log."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        until = time.monotonic() + CLOSING_SECONDS
        while self._waiting or self._held:
            if self._flush is not None and not self._flush.done():
                await self._flush
            else:
                await self._flushed()
            left = len(self._waiting) + self._held
            if left and time.monotonic() > until:
                logger.error('{"event":"ledger_lost","entries":%d}', left)
                return
            if left:
                await asyncio.sleep(0.2)

    def charge(self, entry: Entry) -> int:
        """Writes one entry that several may bring: it counts once, with the most that any of them brought. Returns what
        it costs now, in nanodollars."""
        self._introduce(entry.tenant)
        place, id = collection(entry.tenant), f"{day_of(entry.time)}/{entry.what}"
        while True:
            there = self._records.get(place, id)
            if there is not None:
                (kept,) = msgspec.convert(there.item, Page).entries
                if kept.prompt + kept.completion >= entry.prompt + entry.completion:
                    return kept.cost
            try:
                version = there.version if there else 0
                self._records.put(place, id, msgspec.to_builtins(Page((entry,))), if_version=version)
                return entry.cost
            except ConditionFailed:
                continue

    def write(self, place: str, id: str, page: Page) -> None:
        self._introduce(page.entries[0].tenant)
        self._records.put(place, id, msgspec.to_builtins(page))

    def _introduce(self, tenant: str) -> None:
        if tenant not in self._known:
            self._records.put(TENANTS, tenant, {})
            self._known.add(tenant)

    def _due(self) -> None:
        self._timer = None
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flushed())

    async def _flushed(self) -> None:
        """What waited is written, or waits on as the pages it was made into."""
        async with self._writing:
            waiting, self._waiting = self._waiting, []
            self._unwritten += _pages(waiting)
            self._held += len(waiting)
            try:
                await asyncio.to_thread(self._write_all)
            except Exception as error:
                logger.error('{"event":"ledger_unwritten","error":"%s"}', type(error).__qualname__)
            self._held = sum(len(page.entries) for _, _, page in self._unwritten)
        if (self._waiting or self._held) and self._timer is None and not self._closing:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._due)

    def _write_all(self) -> None:
        while self._unwritten:
            self.write(*self._unwritten[0])
            del self._unwritten[0]


def _pages(entries: Iterable[Entry]) -> list[tuple[str, str, Page]]:
    """Each with the collection and the id that it is kept under."""
    together: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        together.setdefault((entry.tenant, day_of(entry.time)), []).append(entry)
    found = []
    for (tenant, day), all_ in together.items():
        for start in range(0, len(all_), PAGE):
            page = Page(tuple(all_[start : start + PAGE]))
            id = f"{day}/{int(page.entries[0].time * 1000):014}-{secrets.token_hex(6)}"
            found.append((collection(tenant), id, page))
    return found
