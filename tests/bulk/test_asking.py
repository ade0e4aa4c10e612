"""The window over a model host: what is retried, what is given up, and how it stops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from genai_stack.bulk import asking
from genai_stack.bulk.asking import ask_all
from genai_stack.bulk.entries import Entry
from genai_stack.bulk.intake import Line
from genai_stack.errors import EngineFailed
from genai_stack.ports import Reply

OK = Reply(200, "application/json", b"{}")


class Host:
    """`answer` gets (custom id, how often it was asked before) and returns or raises."""

    def __init__(self, answer: Callable[[str, int], Reply]) -> None:
        self.answer, self.asked, self.deployed = answer, list[str](), 0
        self.in_flight = self.most = 0

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        id = body.decode()
        before = self.asked.count(id)
        self.asked.append(id)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(0.001)
            return self.answer(id, before)
        finally:
            self.in_flight -= 1

    async def deploy(self, model: str) -> None:
        self.deployed += 1


async def asked(
    host: Host, count: int = 6, window: int = 3, stop: threading.Event | None = None
) -> dict[str, Entry]:
    found: dict[str, Entry] = {}

    def record(line: Line, entry: Entry) -> None:
        assert line.custom_id not in found
        found[line.custom_id] = entry

    lines = (Line(n, f"r{n}", f"r{n}".encode()) for n in range(count))
    await ask_all(host, "m", "/v1/chat/completions", lines, window, record, stop or threading.Event())  # type: ignore[arg-type]
    return found


async def test_many_are_in_flight_and_no_more_than_the_window() -> None:
    host = Host(lambda id, before: OK)
    found = await asked(host, 50, 8)
    assert len(found) == 50
    assert all(entry.succeeded for entry in found.values())
    assert host.most == 8


async def test_a_refusal_is_kept_and_the_rest_goes_on() -> None:
    refusal = Reply(400, "application/json", b'{"error": {"message": "no"}}')
    found = await asked(Host(lambda id, before: refusal if id == "r2" else OK))
    assert [id for id, entry in found.items() if not entry.succeeded] == ["r2"]
    response = found["r2"].response
    assert response
    assert (response.status_code, bytes(response.body)) == (400, b'{"error":{"message":"no"}}')


async def test_a_request_that_kills_the_engine_takes_no_other_with_it() -> None:
    """While the poison is in flight its neighbours break too; asked alone they are answered."""
    host: Host

    def answer(id: str, before: int) -> Reply:
        if id == "r1" or (before == 0 and id in ("r0", "r2")):
            raise EngineFailed("it died")
        assert before == 0 or host.in_flight == 1
        return OK

    host = Host(answer)
    found = await asked(host)
    assert [id for id, entry in found.items() if not entry.succeeded] == ["r1"]
    assert found["r1"].error
    assert found["r1"].error.message == "it died"
    assert host.asked.count("r1") == 3


async def test_busy_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LONGEST_PAUSE", 0.001)
    busy = Reply(429, "application/json", b"{}")
    host = Host(lambda id, before: busy if before < 2 else OK)
    found = await asked(host, 2)
    assert all(entry.succeeded for entry in found.values())


async def test_a_model_that_stays_down_ends_the_run() -> None:
    host = Host(lambda id, before: OK)

    async def deploy(model: str) -> None:
        raise EngineFailed("it didn't come up")

    host.deploy = deploy  # type: ignore[method-assign]
    with pytest.raises(EngineFailed, match="didn't come up"):
        await asked(host)
    assert host.asked == []


async def test_a_signal_ends_it_without_losing_what_was_in_flight() -> None:
    stop = threading.Event()

    def answer(id: str, before: int) -> Reply:
        if id == "r3":
            stop.set()
        return OK

    found = await asked(Host(answer), 100, 2, stop)
    assert "r3" in found
    assert len(found) <= 5


async def test_what_doesn_t_end_in_time_is_left_for_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FINISH_SECONDS", 0.0)
    stop = threading.Event()
    host = Host(lambda id, before: OK)
    invoke = host.invoke

    async def slow(model: str, route: str, body: bytes) -> Reply:
        if body == b"r1":
            stop.set()
            await asyncio.sleep(60)
        return await invoke(model, route, body)

    host.invoke = slow  # type: ignore[method-assign]
    found = await asked(host, 100, 2, stop)
    assert "r1" not in found


async def test_failures_after_a_signal_aren_t_answers() -> None:
    stop = threading.Event()

    def answer(id: str, before: int) -> Reply:
        stop.set()
        raise EngineFailed("the server got the signal too")

    assert await asked(Host(answer), stop=stop) == {}
