"""What all processes together have taken of a key's or a tenant's limits: one record each, changed by conditional
writes. One that nobody has used for over a month goes.

A process takes a little more than it needs, at most a hundredth of a limit, and hands out of that without asking again;
what it has taken counts as used until it is given back. So a limit is never passed by two processes at once, and at
most a hundredth of it lies idle in each.
"""

from __future__ import annotations

import itertools
import time
from typing import Literal, NamedTuple

import msgspec

from ..errors import ConditionFailed, OutOfBudget, Overloaded
from ..ports import RecordStore
from .prices import NANO
from .principal import Limits

COLLECTION = "limits"
Holder = Literal["key", "tenant"]
"""Whose limits they are."""
ALIVE_SECONDS = 60.0
"""A process that hasn't said for so long that its requests still run is taken for dead, and its places are free."""
KEPT_SECONDS = 40 * 86_400.0
"""Longer than a month, of which a tab has the spending."""
_SHARE = 100
_LATE = 64


class Tab(msgspec.Struct, frozen=True, omit_defaults=True):
    """`requests` and `tokens` are of `minute` (since 1970), `spent` of `month`, in nanodollars. `open` has for each
    process its places for requests at the same time, and until when (Unix seconds) they are its own. `late` has what
    the last batches and fine-tunes took, by their ids, so that one that is told again counts once; `back` likewise has
    the number of what each of the last processes gave back last."""

    minute: int = 0
    requests: int = 0
    tokens: int = 0
    month: str = ""
    spent: int = 0
    open: dict[str, tuple[int, float]] = {}
    late: dict[str, int] = {}
    back: dict[str, int] = {}

    def at(self, now: float) -> Tab:
        """With a new minute's and a new month's counts at nothing, and without the dead."""
        tab = self
        if tab.minute != (minute := int(now // 60)):
            tab = msgspec.structs.replace(tab, minute=minute, requests=0, tokens=0)
        if tab.month != (month := month_of(now)):
            tab = msgspec.structs.replace(tab, month=month, spent=0)
        if any(until <= now for _, until in tab.open.values()):
            alive = {name: place for name, place in tab.open.items() if place[1] > now}
            tab = msgspec.structs.replace(tab, open=alive)
        return tab


class Share(msgspec.Struct, frozen=True):
    """Amounts of each limit; negative ones were used without having been taken. `places` are for requests at once."""

    requests: int = 0
    tokens: int = 0
    nano: int = 0
    places: int = 0


class Back(NamedTuple):
    """What is given back of a minute and a month. Numbers of a process rise."""

    left: Share
    minute: int
    month: str
    number: int


def month_of(moment: float) -> str:
    return time.strftime("%Y-%m", time.gmtime(moment))


def take(
    tab: Tab, limits: Limits, need: Share, process: str, now: float, whose: Holder = "key"
) -> tuple[Tab, Share]:
    """The tab after `process` has taken what it needs and some more, and what it has taken; `need.places` are those it
    has to have in all. `tab` is of `now`. Raises OutOfBudget, Overloaded, which say `whose` limit it is."""
    wait = 60.0 - now % 60.0
    got = {"requests": 0, "tokens": 0, "nano": 0}
    if limits.budget is not None:
        budget = round(limits.budget * NANO)
        if tab.spent >= budget or tab.spent + need.nano > budget:
            raise OutOfBudget(
                f"The {whose}'s budget of ${limits.budget:g} for this month (UTC) doesn't cover this request; "
                "raise it, or wait for the next month."
            )
        got["nano"] = min(need.nano + budget // _SHARE, budget - tab.spent)
    if limits.requests_per_minute is not None:
        got["requests"] = _part(
            whose, "requests", limits.requests_per_minute, tab.requests, need.requests, wait
        )
    if limits.tokens_per_minute is not None:
        got["tokens"] = _part(whose, "tokens", limits.tokens_per_minute, tab.tokens, need.tokens, wait)
    open_ = tab.open
    if limits.concurrent is not None:
        others = sum(count for name, (count, _) in open_.items() if name != process)
        if need.places + others > limits.concurrent:
            at_once = f"{limits.concurrent} requests at the same time"
            raise _limited(whose, at_once, "concurrency_limit_exceeded", 1.0)
        places = min(need.places + limits.concurrent // _SHARE, limits.concurrent - others)
        open_ = {**open_, process: (places, now + ALIVE_SECONDS)}
    after = msgspec.structs.replace(
        tab,
        requests=tab.requests + got["requests"],
        tokens=tab.tokens + got["tokens"],
        spent=tab.spent + got["nano"],
        open=open_,
    )
    return after, Share(**got, places=open_.get(process, (0, 0.0))[0])


def give_back(tab: Tab, back: Back, process: str, now: float) -> Tab:
    """The tab without what `process` has left of its shares, and with what it used beyond them. It keeps
    `back.left.places`."""
    left = back.left
    requests, tokens, nano = left.requests, left.tokens, left.nano
    if back.minute != tab.minute:
        requests, tokens = min(requests, 0), min(tokens, 0)
    if back.month != tab.month:
        nano = min(nano, 0)
    if tab.back.get(process, 0) >= back.number:  # it was told before, and nobody heard that it was
        requests = tokens = nano = 0
    open_ = {name: place for name, place in tab.open.items() if name != process}
    if left.places:
        open_[process] = (left.places, now + ALIVE_SECONDS)
    others = {name: number for name, number in tab.back.items() if name != process}
    return msgspec.structs.replace(
        tab,
        requests=max(tab.requests - requests, 0),
        tokens=max(tab.tokens - tokens, 0),
        spent=max(tab.spent - nano, 0),
        open=open_,
        back=dict([*others.items(), (process, back.number)][-_LATE:]),
    )


def spent(tab: Tab, what: str, nano: int) -> Tab:
    """The tab with what `what` took in all: what it was told of that before is part of it."""
    late = {id: cost for id, cost in tab.late.items() if id != what}
    late = dict([*late.items(), (what, nano)][-_LATE:])
    more = nano - tab.late.get(what, 0)
    return msgspec.structs.replace(tab, spent=max(tab.spent + more, 0), late=late)


class Tabs:
    """The tabs in `records`, by the ids of their holders. All of it waits on the store: call it in a thread."""

    def __init__(self, records: RecordStore, process: str) -> None:
        self._records, self._process = records, process
        self._numbers = itertools.count(1)

    def read(self, holder: str) -> Tab:
        record = self._records.get(COLLECTION, holder)
        return (msgspec.convert(record.item, Tab) if record else Tab()).at(time.time())

    def take(self, holder: str, limits: Limits, need: Share, whose: Holder = "key") -> tuple[Tab, Share]:
        """Raises as the function does, and changes nothing then."""
        while True:
            tab, version, now = self._now(holder)
            after, got = take(tab, limits, need, self._process, now, whose)
            if self._put(holder, after, version):
                return after, got

    def back(self, left: Share, minute: int, month: str) -> Back:
        """What is to be given back, until that is known to be done."""
        return Back(left, minute, month, next(self._numbers))

    def give_back(self, holder: str, back: Back) -> Tab:
        """The same again counts once, but for its places, which are those from now on; only the last that this process
        gave back may come again."""
        while True:
            tab, version, now = self._now(holder)
            after = give_back(tab, back, self._process, now)
            if self._put(holder, after, version):
                return after

    def spend(self, holder: str, what: str, nano: int) -> None:
        """What `what` took outside of requests, in all."""
        while True:
            tab, version, _ = self._now(holder)
            if tab.late.get(what) == nano or self._put(holder, spent(tab, what, nano), version):
                return

    def _now(self, holder: str) -> tuple[Tab, int, float]:
        record, now = self._records.get(COLLECTION, holder), time.time()
        tab = msgspec.convert(record.item, Tab) if record else Tab()
        return tab.at(now), record.version if record else 0, now

    def _put(self, holder: str, tab: Tab, version: int) -> bool:
        item, expires = msgspec.to_builtins(tab), time.time() + KEPT_SECONDS
        try:
            self._records.put(COLLECTION, holder, item, if_version=version, expires=expires)
        except ConditionFailed:
            return False
        return True


def _part(whose: Holder, what: str, limit: int, taken: int, need: int, wait: float) -> int:
    if need > limit:
        raise too_large(whose, what, limit, need)
    if taken + need > limit:
        raise _limited(whose, f"{limit} {what} a minute", "rate_limit_exceeded", wait)
    return min(need + limit // _SHARE, limit - taken)


def too_large(whose: Holder, what: str, limit: int, need: int) -> Overloaded:
    told = f"{limit} {what} a minute, and this one would take {need}"
    never = _limited(whose, told, "request_exceeds_limit", None)
    never.should_retry = False
    return never


def _limited(whose: Holder, what: str, code: str, wait: float | None) -> Overloaded:
    then = "send less" if wait is None else f"try again in {max(1, round(wait))} s"
    error = Overloaded(f"The {whose}'s limit is {what}; {then}.", code=code)
    error.retry_after = wait
    return error
