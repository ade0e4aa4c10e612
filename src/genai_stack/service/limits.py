"""What each key and tenant may still use, handed out to requests before they run and settled when they have.

A request is admitted for what it may take: a request, a place among those at the same time, its prompt's tokens by an
estimate, and the tokens its answer may have. It is settled for what it did take, so an answer that was given no
`max_tokens` may pass a limit of tokens or money by what it is longer than DEFAULT_ANSWER. A key without limits, of a
tenant without limits, passes untouched.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from ..errors import GenAIStackError
from ..metering import EVERY_OTHER, TenantConfig
from ..ports import RecordStore
from ..protocol import ChatRequest, CompletionRequest
from ..protocol.responses import ResponseRequest
from ..protocol.tasks import TaskRequest
from .exchange import Exchange
from .prices import Price, of_time
from .principal import MASTER, UNLIMITED, Limits, Principal
from .tab import ALIVE_SECONDS, Back, Holder, Share, Tab, Tabs, month_of, take, too_large

BYTES_PER_TOKEN = 4
DEFAULT_ANSWER = 1024
"""Tokens set aside for an answer that was given no `max_tokens`, or as many as the key's limit has room for."""
DEFAULT_SECONDS = 60.0
"""Set aside of a budget for an answer of a model that is paid by the hour."""
SETTLE_SECONDS = 1.0
"""How long what a process took and doesn't use stays with it."""
_MOST = 4096
logger = logging.getLogger("genai_stack.service")


class Held(NamedTuple):
    """What was set aside of one meter for one request, in which minute."""

    meter: Meter
    tokens: int
    nano: int
    minute: int


class Admission(NamedTuple):
    """What was set aside for one request: of its key's limits, and of its tenant's."""

    held: tuple[Held, ...]

    def settle(self, tokens: int, nano: int) -> None:
        for held in self.held:
            held.meter.settle(held, tokens, nano)

    def use(self, tokens: int, nano: int) -> None:
        """Beside what was set aside, while the request runs on."""
        for held in self.held:
            held.meter.use(tokens, nano)


class Limiter:
    """For one event loop."""

    def __init__(self, records: RecordStore, tenants: Iterable[TenantConfig] = ()) -> None:
        self._tabs = Tabs(records, secrets.token_hex(8))
        self._tenants = {tenant.name: _limits(tenant) for tenant in tenants}
        self._meters: dict[str, Meter] = {}

    async def admit(self, exchange: Exchange, who: Principal, request: Any, size: int, price: Price) -> None:
        """Sets aside what a request with a body of `size` bytes may take. Raises Overloaded, OutOfBudget, which change
        nothing."""
        shared = self._of_tenant(who.id, who.tenant)
        if who.limits == UNLIMITED and shared == UNLIMITED:
            return
        meters = [
            self._meter(*of) for of in _holders(who.id, who.limits, who.tenant, shared) if of[1] != UNLIMITED
        ]
        tokens, nano = _taking(request, size, price, meters)
        held: list[Held] = []
        try:
            for meter in meters:
                held.append(await meter.admit(tokens, nano))
        except BaseException:
            for one in held:
                one.meter.cancel(one)
            raise
        finally:
            _tell(exchange, meters)
        exchange.admission = Admission(tuple(held))

    async def widen(self, exchange: Exchange, request: Any, size: int, price: Price) -> None:
        """For a request that was admitted, and is of `size` bytes now that what it goes on from has been read. Raises
        Overloaded, OutOfBudget; it counts as a request then, too."""
        if exchange.admission is None:
            return
        held = list(exchange.admission.held)
        meters = [one.meter for one in held]
        tokens, nano = _taking(request, size, price, meters)
        try:
            for index, meter in enumerate(meters):
                held[index] = await meter.widen(held[index], tokens, nano)
        finally:
            exchange.admission = Admission(tuple(held))
            _tell(exchange, meters)

    async def check(self, who: Principal) -> None:
        """For what runs later, a batch or a fine-tune: raises OutOfBudget where the month's money is spent."""
        shared = self._of_tenant(who.id, who.tenant)
        for holder, limits, whose in _holders(who.id, who.limits, who.tenant, shared):
            if limits.budget is not None:
                tab = await asyncio.to_thread(self._tabs.read, holder)
                take(tab, Limits(budget=limits.budget), Share(nano=1), "", time.time(), whose)

    def spend(self, key: str, tenant: str, what: str, nano: int) -> None:
        """What the batch or fine-tune of that id took, in all; again, it counts once. Waits on the store: call it in a
        thread."""
        shared = self._of_tenant(key, tenant)
        for holder, limits, whose in _holders(key, UNLIMITED, tenant, shared):
            if whose == "key" or limits.budget is not None:
                self._tabs.spend(holder, what, nano)

    async def close(self) -> None:
        """Gives back what was taken and not used."""
        for meter in self._meters.values():
            await meter.close()

    def _of_tenant(self, key: str, tenant: str) -> Limits:
        if not self._tenants or key == MASTER.id:
            return UNLIMITED
        return self._tenants.get(tenant) or self._tenants.get(EVERY_OTHER) or UNLIMITED

    def _meter(self, holder: str, limits: Limits, whose: Holder) -> Meter:
        meter = self._meters.get(holder)
        if meter is None:
            if len(self._meters) >= _MOST:
                self._meters = {id: kept for id, kept in self._meters.items() if kept.busy}
            meter = self._meters[holder] = Meter(self._tabs, holder, limits, whose)
        meter.limits = limits
        return meter


class Meter:
    """One key's or tenant's, in this process: what it has left of its shares."""

    def __init__(self, tabs: Tabs, holder: str, limits: Limits, whose: Holder = "key") -> None:
        self._tabs, self._holder, self.limits, self._whose = tabs, holder, limits, whose
        self._tab = Tab()
        self._requests = self._tokens = self._nano = self._places = self._running = 0
        self._minute, self._month = 0, ""
        self._back: Back | None = None
        self._renewing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._closed = False
        self._said = 0.0

    @property
    def busy(self) -> bool:
        return self._running > 0 or self._timer is not None or self._renewing.locked()

    async def admit(self, tokens: int, nano: int) -> Held:
        """Raises Overloaded, OutOfBudget."""
        await self._reserve(1, tokens, nano)
        self._requests -= 1
        self._tokens -= tokens
        self._nano -= nano
        self._running += 1
        self._later()
        return Held(self, tokens, nano, self._minute)

    async def widen(self, held: Held, tokens: int, nano: int) -> Held:
        """The same request, which takes so much in all. Raises Overloaded, OutOfBudget."""
        most = self.limits.tokens_per_minute
        if most is not None and tokens > most:
            raise too_large(self._whose, "tokens", most, tokens)
        more, dearer = max(tokens - held.tokens, 0), max(nano - held.nano, 0)
        await self._reserve(0, more, dearer)
        self._tokens -= more
        self._nano -= dearer
        return held._replace(tokens=held.tokens + more, nano=held.nano + dearer)

    def cancel(self, held: Held) -> None:
        """As if the request had never come."""
        if held.minute == self._minute:
            self._requests += 1
        self.settle(held, 0, 0)

    def settle(self, held: Held, tokens: int, nano: int) -> None:
        """A minute's tokens that weren't used after all are worth nothing in the next one."""
        self._running -= 1
        spare = held.tokens - tokens
        self._tokens += spare if held.minute == self._minute else min(spare, 0)
        self._nano += held.nano - nano
        self._later()

    def use(self, tokens: int, nano: int) -> None:
        self._tokens -= tokens
        self._nano -= nano
        self._later()

    def left(self) -> dict[bytes, tuple[int, int]]:
        """Of what is counted by the minute, the limit and what is left of it, by what the store said last."""
        found = {}
        for name, limit, taken, own in (
            (b"requests", self.limits.requests_per_minute, self._tab.requests, self._requests),
            (b"tokens", self.limits.tokens_per_minute, self._tab.tokens, self._tokens),
        ):
            if limit is not None:
                found[name] = limit, max(limit - taken + own, 0)
        return found

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._settling is not None:
            await self._settling
        await self._settle()

    async def _reserve(self, requests: int, tokens: int, nano: int) -> None:
        """Of the limits, what isn't there yet of so much. Raises Overloaded, OutOfBudget."""
        nano = max(nano, requests)
        if not self._fits(requests, tokens, nano):
            async with self._renewing:
                while not self._fits(requests, tokens, nano):
                    await self._renew(requests, tokens, nano)

    def _fits(self, requests: int, tokens: int, nano: int) -> bool:
        limits, now = self.limits, time.time()
        if self._minute != int(now // 60) and (limits.requests_per_minute or limits.tokens_per_minute):
            return False
        if limits.budget is not None and (self._nano < nano or self._month != month_of(now)):
            return False
        return (
            (limits.requests_per_minute is None or self._requests >= requests)
            and (limits.tokens_per_minute is None or self._tokens >= tokens)
            and (limits.concurrent is None or self._running + requests <= self._places)
        )

    async def _renew(self, requests: int, tokens: int, nano: int) -> None:
        now = time.time()
        self._turn(int(now // 60), month_of(now))
        await self._repay()
        need = Share(
            max(requests - self._requests, 0),
            max(tokens - self._tokens, 0),
            max(nano - self._nano, 0),
            self._running + requests,
        )
        try:
            tab, got = await asyncio.to_thread(self._tabs.take, self._holder, self.limits, need, self._whose)
        except GenAIStackError:
            self._tab = await asyncio.to_thread(self._tabs.read, self._holder)
            raise
        self._turn(tab.minute, tab.month)
        self._tab, self._places, self._said = tab, got.places, time.time()
        self._requests += got.requests
        self._tokens += got.tokens
        self._nano += got.nano

    async def _repay(self) -> None:
        """Writes down what was used without having been taken: the next request is refused for it, if at all, as one
        that comes too soon, and not as one that is too large by itself."""
        await self._give_back()
        owed = Share(min(self._requests, 0), min(self._tokens, 0), min(self._nano, 0))
        if owed.tokens:
            self._put_aside(owed)
            await self._give_back()

    def _put_aside(self, share: Share) -> None:
        """To be given back: out of what requests may be handed."""
        self._requests -= share.requests
        self._tokens -= share.tokens
        self._nano -= share.nano
        self._back = self._tabs.back(share, self._minute, self._month)

    async def _give_back(self) -> None:
        """What was put aside, again where it isn't known whether the tab has it; it says what still runs."""
        if self._back is None:
            return
        self._places = self._running  # others may have the rest from here on
        back = self._back._replace(left=msgspec.structs.replace(self._back.left, places=self._places))
        self._tab = await asyncio.to_thread(self._tabs.give_back, self._holder, back)
        self._back = None

    def _turn(self, minute: int, month: str) -> None:
        """A new minute or month: what was left of the old one is gone, what was used beyond it isn't."""
        if minute != self._minute:
            self._minute = minute
            self._requests, self._tokens = min(self._requests, 0), min(self._tokens, 0)
        if month != self._month:
            self._month, self._nano = month, min(self._nano, 0)

    def _later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._due)

    def _due(self) -> None:
        self._timer = None
        self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        """Gives back, in one write, what isn't used, and says what still runs."""
        async with self._renewing:
            try:
                await self._give_back()
                left = Share(self._requests, self._tokens, self._nano)
                idle = left == Share() and self._places == self._running
                if not idle or (self._running and time.time() >= self._said + ALIVE_SECONDS / 3):
                    self._put_aside(left)
                    await self._give_back()
                    self._said = time.time()
            except Exception as error:
                logger.error('{"event":"limits_unsettled","error":"%s"}', type(error).__qualname__)
                self._later()
            if self._running:
                self._later()


def headers(meters: Iterable[Meter]) -> list[tuple[bytes, bytes]]:
    """`x-ratelimit-*` as OpenAI has them, of the limit that has less left."""
    reset = b"%ds" % math.ceil(60.0 - time.time() % 60.0)
    tightest: dict[bytes, tuple[int, int]] = {}
    for meter in meters:
        for name, (limit, left) in meter.left().items():
            there = tightest.get(name)
            if there is None or (left, limit) < (there[1], there[0]):
                tightest[name] = limit, left
    found: list[tuple[bytes, bytes]] = []
    for name, (limit, left) in tightest.items():
        found += [
            (b"x-ratelimit-limit-" + name, b"%d" % limit),
            (b"x-ratelimit-remaining-" + name, b"%d" % left),
            (b"x-ratelimit-reset-" + name, reset),
        ]
    return found


def _tell(exchange: Exchange, meters: Iterable[Meter]) -> None:
    others = [(name, value) for name, value in exchange.told if not name.startswith(b"x-ratelimit-")]
    exchange.told = others + headers(meters)


def _holders(key: str, limits: Limits, tenant: str, shared: Limits) -> tuple[tuple[str, Limits, Holder], ...]:
    """Of a request's key and tenant the ids of their tabs, which no other's can be."""
    return (key, limits, "key"), (f"tenant/{tenant}", shared, "tenant")


def _limits(tenant: TenantConfig) -> Limits:
    return Limits(tenant.requests_per_minute, tenant.tokens_per_minute, tenant.concurrent, tenant.budget)


def _taking(request: Any, size: int, price: Price, meters: Iterable[Meter]) -> tuple[int, int]:
    """The tokens and nanodollars to set aside for a request of `size` bytes."""
    prompt, answer = _estimate(request, size, [meter.limits for meter in meters])
    nano = prompt * price.input + answer * price.output
    if price.hour:
        nano += of_time(price.hour, DEFAULT_SECONDS, price.at_once)
    return prompt + answer, nano


def _estimate(request: Any, size: int, limits: Iterable[Limits]) -> tuple[int, int]:
    """Tokens of the prompt and of the answer to set aside."""
    prompt = size // BYTES_PER_TOKEN + 1
    if isinstance(request, TaskRequest):
        limit, answers = request.max_tokens, 1
    elif isinstance(request, ResponseRequest):
        limit, answers = request.max_output_tokens, 1
    elif isinstance(request, ChatRequest | CompletionRequest):
        limit, answers = request.limit, request.n or 1
    else:
        return prompt, 0
    if limit is not None:
        return prompt, limit * answers
    most = min((each.tokens_per_minute for each in limits if each.tokens_per_minute is not None), default=None)
    room = DEFAULT_ANSWER * answers if most is None else max(most - prompt, 0)
    return prompt, min(DEFAULT_ANSWER * answers, room)
