"""What a process takes on, and what it sends away: by places, by waiting, and by how late it is itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.config import ModelConfig, ServiceConfig, StackConfig
from genai_stack.errors import Overloaded
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.load import LATE_SECONDS, TICK_SECONDS, Load
from genai_stack.service.metrics import Metrics
from tests.service.conftest import GOOD, MASTER, Api, assert_problem
from tests.service.fakes import CHAT, FakeHost, MemoryRecords, MemoryRegistry, services, serving

ROUTE, RESPONSES = "/v1/chat/completions", "/v1/responses"
PLACES = 4
LONG = 30.0


@pytest.fixture
def api() -> Iterator[Api]:
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    config = StackConfig(
        models=(ModelConfig(CHAT, "builtin"),),
        service=ServiceConfig(max_concurrent=PLACES, max_wait_seconds=LONG),
    )
    with serving(build_app(services(host, registry, records), keys=keys, config=config)) as port:
        yield Api(port, host, registry, records, keys)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("route", [ROUTE, RESPONSES])
def test_more_than_run_and_wait_are_sent_away(api: Api, route: str, streamed: bool) -> None:
    running, done = threading.Semaphore(0), threading.Event()
    sleep = asyncio.sleep

    async def answers(*_: Any, **__: Any) -> None:
        running.release()
        while not done.is_set():
            await sleep(0.005)

    class Held(float):
        pass

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(PLACES + 1) as pool:
        api.host.delay = Held()
        patch.setattr(asyncio, "sleep", lambda s, *r: answers() if isinstance(s, Held) else sleep(s, *r))
        body = {**(GOOD[route] if route == ROUTE else {"model": CHAT, "input": "Hi"}), "stream": streamed}
        asked = [pool.submit(api.post, route, body) for _ in range(PLACES + 1)]
        for _ in range(PLACES):
            assert running.acquire(timeout=60)
        until = time.monotonic() + 60
        while "genai_stack_requests_waiting 1\n" not in api.get("/metrics").body.decode():
            assert time.monotonic() < until
        for _ in range(10):
            told = api.post(route, body)
            assert assert_problem(told, 429)["code"] == "overloaded"
            assert told.headers["retry-after"] == "1"
            assert "x-should-retry" not in told.headers
        assert api.get("/v1/models").status == 200, "what asks no model isn't in the way"
        assert len(api.host.seen) == PLACES
        assert "genai_stack_requests_shed_total 10\n" in api.get("/metrics").body.decode()
        done.set()
        assert {answer.result().status for answer in asked} == {200}
    assert api.post(route, body).status == 200


async def test_a_place_that_does_not_come_in_time() -> None:
    load = Load(1, 0.02, Metrics())
    await load.enter()
    with pytest.raises(Overloaded):
        await load.enter()
    load.leave()
    await load.enter()
    waiting = asyncio.create_task(load.enter())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    load.leave()
    await load.enter()
    load.leave()


async def test_who_would_wait_too_long_does_not_begin_to() -> None:
    metrics = Metrics()
    load = Load(8, 1.0, metrics)
    for _ in range(8):
        await load.enter()
    load.leave(3.0)
    await load.enter()
    first = asyncio.create_task(load.enter())
    await asyncio.sleep(0)
    second = asyncio.create_task(load.enter())
    await asyncio.sleep(0)
    assert metrics.waiting == 2, "0.375 s and 0.75 s"
    for _ in range(64):
        load._mean += (6.0 - load._mean) / 16
    load.leave(6.0)
    await first
    with pytest.raises(Overloaded):
        await load.enter()
    load.leave()
    await second
    assert metrics.shed == 1


def test_a_late_process_sheds_until_it_has_caught_up() -> None:
    now, metrics = 100.0, Metrics()

    async def run() -> None:
        nonlocal now
        load = Load(8, 0.25, metrics, clock=lambda: now)
        load.check()
        now += 0.05
        load.check()
        late = TICK_SECONDS + LATE_SECONDS + 0.01
        await load.enter()  # so that the timer goes on
        now += late
        load.check()
        load._tick()
        load.check()
        now += TICK_SECONDS
        load._tick()
        load.check()
        assert metrics.shed == 0, "a stall"
        for _ in range(2):
            now += late
            load._tick()
        with pytest.raises(Overloaded):
            load.check()
        now += TICK_SECONDS
        load._tick()
        load.check()
        assert metrics.shed == 1, "caught up"
        now += late
        load._tick()
        now += late - 0.02
        load.check()
        now += 0.02
        with pytest.raises(Overloaded):
            load.check()
        assert metrics.shed == 2

    asyncio.run(run())


@given(st.lists(st.sampled_from(["enter", "leave", "cancel"]), max_size=40), st.integers(1, 6))
def test_places_are_never_lost_and_never_more(steps: list[str], places: int) -> None:
    async def run() -> None:
        load = Load(places, LONG, Metrics())
        tasks: list[asyncio.Task[None]] = []

        def holding() -> list[asyncio.Task[None]]:
            return [task for task in tasks if task.done() and not task.cancelled() and not task.exception()]

        for number, step in enumerate(steps):
            if step == "enter":
                tasks.append(asyncio.create_task(load.enter()))
            elif step == "leave" and holding():
                tasks.remove(holding()[number % len(holding())])
                load.leave(0.001)
            elif step == "cancel" and (waiting := [task for task in tasks if not task.done()]):
                waiting[number % len(waiting)].cancel()
            for _ in range(4):
                await asyncio.sleep(0)
            assert len(holding()) <= places
            waiting = [task for task in tasks if not task.done()]
            assert not waiting or len(holding()) == places
        while [task for task in tasks if not task.done()]:
            tasks.remove(holding()[0])
            load.leave()
            for _ in range(4):
                await asyncio.sleep(0)
        for _ in holding():
            load.leave()
        assert load._running == 0
        assert not load._waiting

    asyncio.run(run())
