"""Limits of keys: over HTTP as a client meets them, between processes, and by the rules of the tab alone."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.config import ModelConfig, PriceConfig, StackConfig
from genai_stack.errors import ConditionFailed, Overloaded, RequestError
from genai_stack.ports import RecordStore
from genai_stack.service import accounts
from genai_stack.service.limits import Meter
from genai_stack.service.principal import Limits
from genai_stack.service.tab import ALIVE_SECONDS, COLLECTION, Back, Share, Tab, Tabs, give_back, take
from tests.aws.account import account
from tests.contracts.adapters import RECORDS
from tests.service.conftest import GOOD, Answer, Api, assert_problem
from tests.service.fakes import CHAT, HANG, MemoryRecords, sse
from tests.service.limited import NOON, limited
from tests.service.test_ledger import streamed

ROUTE = "/v1/chat/completions"
CONFIG = StackConfig(models=(ModelConfig(CHAT, "builtin"),), prices=(PriceConfig(CHAT, 1.0, None, 10.0),))


@pytest.fixture(scope="module")
def running() -> Iterator[Api]:
    with limited(CONFIG) as api:
        yield api


@pytest.fixture
def api(running: Api) -> Api:
    running.host.reset()
    return running


def ask(api: Api, key: str, **more: Any) -> Answer:
    return api.call("POST", ROUTE, {**GOOD[ROUTE], **more}, key=key)


def tab_of(api: Api, id: str, settled: Any) -> Tab:
    """Once `settled` says so."""
    until = time.monotonic() + 60
    while True:
        record = api.records.kept.get((COLLECTION, id))
        tab = msgspec.convert(record.item, Tab) if record else Tab()
        if settled(tab):
            return tab
        assert time.monotonic() < until, tab
        time.sleep(0.005)


def test_requests_a_minute(api: Api) -> None:
    _, key = api.keys.create("three", limits=Limits(requests_per_minute=3))
    for left in (2, 1, 0):
        answer = ask(api, key)
        assert answer.status == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
        assert 1 <= int(answer.headers["x-ratelimit-reset-requests"].rstrip("s")) <= 60
    told = ask(api, key)
    assert assert_problem(told, 429)["type"] == "rate_limit_error"
    assert told.json()["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(told.headers["retry-after"]) <= 60
    assert told.headers["x-ratelimit-remaining-requests"] == "0"
    assert "x-should-retry" not in told.headers
    assert len(api.host.seen) == 3
    assert api.post(ROUTE, GOOD[ROUTE]).status == 200, "another key's"


def test_tokens_a_minute_are_settled_for_what_was_used(api: Api) -> None:
    id, key = api.keys.create("tokens", limits=Limits(tokens_per_minute=500))
    for n in range(1, 8):
        assert ask(api, key, max_tokens=300).status == 200
        tab_of(api, id, lambda tab, n=n: tab.tokens == 9 * n)
    told = ask(api, key, max_tokens=430)
    assert assert_problem(told, 429)["code"] == "rate_limit_exceeded"
    never = ask(api, key, max_tokens=501)
    assert assert_problem(never, 429)["code"] == "request_exceeds_limit"
    assert never.headers["x-should-retry"] == "false"
    assert "retry-after" not in never.headers
    assert int(never.headers["x-ratelimit-remaining-tokens"]) == 500 - 63


def test_requests_at_the_same_time(api: Api) -> None:
    id, key = api.keys.create("two", limits=Limits(concurrent=2))
    api.host.script = [*sse(*streamed(5, 1)[:-1], done=False), HANG]
    open_ = [stream(api, key) for _ in range(2)]
    told = ask(api, key)
    assert assert_problem(told, 429)["code"] == "concurrency_limit_exceeded"
    assert told.headers["retry-after"] == "1"
    open_.pop().close()
    tab_of(api, id, lambda tab: [count for count, _ in tab.open.values()] == [1])
    assert ask(api, key).status == 200
    open_.pop().close()
    tab_of(api, id, lambda tab: not tab.open)


def stream(api: Api, key: str) -> socket.socket:
    """A stream that has begun."""
    body = json.dumps({**GOOD[ROUTE], "stream": True}).encode()
    lines = [
        f"POST {ROUTE} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {key}",
        f"content-length: {len(body)}",
        "\r\n",
    ]
    raw = socket.create_connection(("127.0.0.1", api.port), 5)
    raw.sendall("\r\n".join(lines).encode() + body)
    got = b""
    while b"w1" not in got:
        got += raw.recv(65536)
    return raw


def test_a_budget_is_the_ledgers(api: Api) -> None:
    # An answer of the fake's takes 7 tokens in and 2 out: 27,000 nanodollars.
    id, key = api.keys.create("poor", limits=Limits(budget=0.0005))
    asked = 0
    while (answer := ask(api, key, max_tokens=10)).status == 200:
        asked += 1
        tab_of(api, id, lambda tab, n=asked: tab.spent == 27_000 * n)
        assert asked < 30
    assert assert_problem(answer, 429)["type"] == "insufficient_quota"
    assert answer.headers["x-should-retry"] == "false"
    assert asked >= 12
    with openai.OpenAI(base_url=api.base_url, api_key=key, max_retries=2) as client:
        before = len(api.host.seen)
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "x" * 400}])
        assert caught.value.code == "insufficient_quota"
        assert len(api.host.seen) == before
    until = time.monotonic() + 60
    while len(found := list(accounts.entries(api.records, id, "2000-01-01", "2999-01-01"))) < asked + 2:
        assert time.monotonic() < until
        time.sleep(0.005)
    assert sum(entry.cost for entry in found) == 27_000 * asked
    assert [entry.outcome for entry in found] == ["answered"] * asked + ["refused"] * 2


def test_a_spent_budget_begins_no_batch(api: Api) -> None:
    _, key = api.keys.create("nothing", limits=Limits(budget=0.0))
    batch = {"input_file_id": "file-x", "endpoint": ROUTE, "completion_window": "24h"}
    for path, body in (("/v1/batches", batch), (ROUTE, GOOD[ROUTE])):
        assert_problem(api.call("POST", path, body, key=key), 429)


def test_an_answer_that_is_refused_gives_its_tokens_back(api: Api) -> None:
    id, key = api.keys.create("refused", limits=Limits(tokens_per_minute=1000, budget=1.0))
    api.host.failure = Overloaded("full")
    for _ in range(5):
        assert ask(api, key, max_tokens=900).status == 429
        tab_of(api, id, lambda tab: tab.tokens == tab.spent == 0)
    assert len(api.host.seen) == 5


@pytest.mark.parametrize("adapter", RECORDS)
def test_processes_never_pass_a_limit_together(
    adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
    records: RecordStore = RECORDS[adapter](tmp_path)
    limit = 20 if adapter == "aws" else 300
    limits = Limits(requests_per_minute=limit, tokens_per_minute=limit * 7)
    admitted: list[int] = []
    if adapter != "aws":  # whose signatures have the time in them
        monkeypatch.setattr(time, "time", lambda: NOON)

    async def process(name: str) -> None:
        meter = Meter(Tabs(records, name), "k", limits)

        async def one() -> None:
            try:
                admission = await meter.admit(7, 0)
            except Overloaded:
                return
            admitted.append(admission.minute)
            await asyncio.sleep(0)
            meter.settle(admission, 7, 0)

        await asyncio.gather(*(one() for _ in range(limit)))
        await meter.close()

    threads = [threading.Thread(target=lambda n=n: asyncio.run(process(f"p{n}"))) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert max(admitted.count(minute) for minute in admitted) <= limit
    if len(set(admitted)) == 1:
        idle = 1 + 3 * (limit // 100)
        assert len(admitted) >= limit - idle
    if adapter != "aws":
        tab = Tabs(records, "p").read("k")
        assert (tab.requests, tab.tokens) == (len(admitted), 7 * len(admitted))


LIMITS = st.builds(
    Limits,
    st.none() | st.integers(1, 300),
    st.none() | st.integers(1, 2000),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(0, 5000).map(lambda nano: nano / 1e9),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from(["take", "back"]),
        st.integers(0, 40),
        st.sampled_from([0, 0, 30, 61]),
        st.integers(1, 2),
    ),
    max_size=30,
)


@given(LIMITS, STEPS)
def test_a_tab_never_has_more_than_the_limits(
    limits: Limits, steps: list[tuple[str, str, int, int, int]]
) -> None:
    now, tab = NOON, Tab()
    held = {name: Share() for name in "ab"}
    running = {"a": 0, "b": 0}
    for process, what, amount, seconds, times in steps:
        now += seconds
        minute, tab = tab.minute, tab.at(now)
        if tab.minute != minute:
            held = {name: Share(0, 0, share.nano) for name, share in held.items()}
        mine = held[process]
        if what == "take":
            need = Share(1, amount, amount, running[process] + 1)
            try:
                tab, got = take(tab, limits, need, process, now)
            except RequestError:
                continue
            running[process] += 1
            assert limits.concurrent is None or got.places >= need.places
            assert limits.tokens_per_minute is None or got.tokens >= amount
            held[process] = Share(mine.requests + got.requests, mine.tokens + got.tokens, mine.nano + got.nano)
        else:
            running[process] = 0
            number = tab.back.get(process, 0) + 1
            for _ in range(times):
                tab = give_back(tab, Back(mine, tab.minute, tab.month, number), process, now)
            held[process] = Share()
        assert limits.requests_per_minute is None or tab.requests <= limits.requests_per_minute
        assert limits.tokens_per_minute is None or tab.tokens <= limits.tokens_per_minute
        assert limits.budget is None or tab.spent <= round(limits.budget * 1e9)
        if limits.concurrent is not None:
            assert sum(count for count, until in tab.open.values() if until > now) <= limits.concurrent
        assert tab.requests == sum(share.requests for share in held.values())
        assert tab.tokens == sum(share.tokens for share in held.values())
        assert tab.spent == sum(share.nano for share in held.values())


def test_the_places_of_a_dead_process_come_free() -> None:
    limits = Limits(concurrent=1)
    tab, _ = take(Tab().at(NOON), limits, Share(places=1), "dead", NOON)
    with pytest.raises(Overloaded):
        take(tab.at(NOON + 59), limits, Share(places=1), "alive", NOON + 59)
    take(tab.at(NOON + ALIVE_SECONDS), limits, Share(places=1), "alive", NOON + ALIVE_SECONDS)


def test_what_was_used_beyond_a_share_counts_in_the_next_minute() -> None:
    limits = Limits(tokens_per_minute=100, budget=1.0)
    tab, got = take(Tab().at(NOON), limits, Share(1, 50, 10), "p", NOON)
    assert (tab.tokens, got.tokens) == (51, 51)
    later = tab.at(NOON + 60)
    assert later.tokens == 0
    over = give_back(later, Back(Share(0, -20, -5), tab.minute, tab.month, 1), "p", NOON + 60)
    assert (over.tokens, over.spent) == (20, tab.spent + 5)
    spare = give_back(later, Back(Share(0, 20, 5), tab.minute, tab.month, 1), "p", NOON + 60)
    assert (spare.tokens, spare.spent) == (0, tab.spent - 5)


def test_a_request_after_one_that_took_too_much_comes_too_soon_and_is_not_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOON)

    async def told() -> tuple[str | None, int]:
        tabs = Tabs(MemoryRecords(), "p")
        meter = Meter(tabs, "k", Limits(tokens_per_minute=100))
        meter.settle(await meter.admit(60, 0), 130, 0)
        with pytest.raises(Overloaded) as refused:
            await meter.admit(60, 0)
        assert refused.value.should_retry is not False
        await meter.close()
        return refused.value.code, tabs.read("k").tokens

    assert asyncio.run(told()) == ("rate_limit_exceeded", 130)


@pytest.mark.parametrize("adapter", RECORDS)
@pytest.mark.parametrize("lost", [ConnectionError, ConditionFailed])
@pytest.mark.parametrize("used", [40, 900])
def test_what_is_given_back_counts_once_though_the_store_s_answer_was_lost(
    adapter: str, lost: type[Exception], used: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
    records: RecordStore = RECORDS[adapter](tmp_path)
    put, losing = records.put, list[bool]()

    def lossy(*what: Any, **more: Any) -> Any:
        written = put(*what, **more)
        if losing:
            losing.clear()
            raise lost("the answer never came")
        return written

    monkeypatch.setattr(records, "put", lossy)

    async def told() -> Tab:
        tabs = Tabs(records, "p")
        meter = Meter(tabs, "k", Limits(budget=1e-5))
        await (first := Meter(Tabs(records, "other"), "k", Limits(budget=1e-5))).admit(0, 1000)
        await first.close()
        held = await meter.admit(0, 100)
        meter.settle(held, 0, used)
        losing.append(True)
        await meter._settle()
        await meter.close()
        return tabs.read("k")

    assert asyncio.run(told()).spent == 1000 + used


def test_nothing_is_begun_after_the_end() -> None:
    async def timers() -> list[bool]:
        meter = Meter(Tabs(MemoryRecords(), "p"), "k", Limits(concurrent=2))
        held = await meter.admit(0, 0)
        running = meter.busy
        await meter.close()
        ended = meter._timer is None
        meter.settle(held, 0, 0)
        return [running, ended, meter._timer is None]

    assert asyncio.run(timers()) == [True, True, True]


def test_places_that_others_may_have_are_handed_out_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    records, limits = MemoryRecords(), Limits(concurrent=2, budget=1e-5)
    tabs, others = Tabs(records, "p"), Tabs(records, "q")
    take = tabs.take

    def second(*what: Any) -> Any:
        others.take("k", limits, Share(1, 1, 1, 1))
        return take(*what)

    async def told() -> None:
        meter = Meter(tabs, "k", limits)
        held = [await meter.admit(1, 100) for _ in range(2)]
        meter.settle(held.pop(), 1, 100)
        monkeypatch.setattr(tabs, "take", second)
        for nano in (5000, 1):
            with pytest.raises(Overloaded, match="2 requests at the same time"):
                await meter.admit(1, nano)
        meter.settle(held.pop(), 1, 100)
        await meter.close()

    asyncio.run(told())
    assert {name: count for name, (count, _) in tabs.read("k").open.items()} == {"q": 1}
