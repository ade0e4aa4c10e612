"""The local engine's way through a batch: many requests in flight against one model host, sharing its engine's batch.

What the engine broke off is asked again alone, after everything else: a request that kills the engine then takes no
other one with it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from ..errors import EngineFailed, GenAIStackError
from ..ports import Reply
from . import entries
from .entries import Entry
from .intake import Line

FINISH_SECONDS = 15.0
"""What requests in flight get to end after a signal; with the model server's end after it, under 25 s."""
ALONE_TRIES = 2
BUSY = frozenset((429, 503))
LONGEST_PAUSE = 8.0
PATIENCE = 40
"""Tries while the server says it is busy: some five minutes."""
Record = Callable[[Line, Entry], None]


class Asked(Protocol):
    """What is asked of a model host here."""

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply: ...
    async def deploy(self, model: str) -> None: ...


async def ask_all(
    host: Asked, model: str, endpoint: str, lines: Iterable[Line], window: int, record: Record,
    stop: threading.Event,
) -> None:  # fmt: skip
    """Asks `model` every line, at most `window` at a time, and hands each answer to `record` as it ends.

    When `stop` is set no line is begun any more, and those in flight get FINISH_SECONDS; what ends later isn't
    recorded. Raises EngineFailed when the model doesn't come up, at first or again.
    """
    asking = _Asking(host, model, endpoint, record, stop)
    await _until_stopped(asyncio.ensure_future(host.deploy(model)), stop, patience=0)
    rest = iter(lines)
    await asking.run([lambda: asking.work(rest)] * window)
    broken, asking.broken = asking.broken, []
    await asking.run([lambda: asking.work_alone(broken)])


class _Asking:
    def __init__(self, host: Asked, model: str, endpoint: str, record: Record, stop: threading.Event) -> None:
        self._host, self._model, self._endpoint = host, model, endpoint
        self._record, self._stop = record, stop
        self.broken: list[Line] = []

    async def run(self, workers: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Until every worker has ended, or none may go on; the first failure ends them all."""

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                for worker in workers:
                    group.create_task(worker())

        try:
            await _until_stopped(asyncio.ensure_future(together()), self._stop, patience=FINISH_SECONDS)
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def work(self, lines: Iterator[Line]) -> None:
        for line in lines:
            if self._stop.is_set():
                return
            entry, sound = await self._ask(line)
            if sound:
                self._record(line, entry)
            elif (
                not self._stop.is_set()
            ):  # after a signal to everyone it is the server that went, not the request
                self.broken.append(line)

    async def work_alone(self, lines: list[Line]) -> None:
        for line in lines:
            for attempt in range(ALONE_TRIES):
                if self._stop.is_set():
                    return
                entry, sound = await self._ask(line)
                if sound or (attempt == ALONE_TRIES - 1 and not self._stop.is_set()):
                    self._record(line, entry)
                    break

    async def _ask(self, line: Line) -> tuple[Entry, bool]:
        """The entry, and whether the engine stood by it: False for a 5xx or a connection that broke."""
        pause = 0.25
        for _ in range(PATIENCE):
            try:
                reply = await self._host.invoke(self._model, self._endpoint, line.body)
            except EngineFailed as error:
                if not self._stop.is_set():
                    await self._host.deploy(self._model)
                return entries.failed(line.custom_id, error.code or "engine_failed", error.message), False
            except GenAIStackError as error:
                if error.status not in BUSY:
                    return entries.failed(line.custom_id, error.code or "invalid_request", error.message), True
                entry = entries.failed(line.custom_id, error.code or "busy", error.message)
            else:
                entry = entries.answered(line.custom_id, reply.status, reply.body)
                if reply.status not in BUSY:
                    return entry, reply.status < 500
            if self._stop.is_set():
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return entry, False


async def _until_stopped(work: asyncio.Future[None], stop: threading.Event, *, patience: float) -> None:
    """Waits for `work`, but no longer than `patience` seconds once `stop` is set; then it is cancelled."""
    loop = asyncio.get_running_loop()
    deadline: float | None = None
    try:
        while not work.done():
            if stop.is_set() and deadline is None:
                deadline = loop.time() + patience
            if deadline is not None and loop.time() >= deadline:
                break
            await asyncio.wait((work,), timeout=0.1)
        if work.done():
            work.result()
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError, GenAIStackError):
            await work
