"""The parent's side of one engine process: it starts it, talks to it, and starts it again when it dies."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec

from ..errors import EngineFailed, InvalidModel, Overloaded
from .wire import (
    FAILED,
    RUNNING,
    Cancel,
    Command,
    Embed,
    Embedded,
    Frames,
    Generate,
    Load,
    Output,
    Ready,
    Refused,
    Score,
    Scored,
    Step,
    TokenScore,
    decode_report,
    frame,
)

_DIED = "The engine stopped while it answered; send the request again."
_LONGEST_PAUSE = 5.0
"""Seconds between two starts of an engine that keeps dying."""


class Feed:
    """The outputs of the sequences of one request, as they come. Closing it cancels what hasn't ended."""

    def __init__(self, engine: Engine, ids: range) -> None:
        self._engine = engine
        self._ids = set(ids)
        self._first = ids.start
        self._news: list[Output] = []
        self._waiter: asyncio.Future[None] | None = None
        self._failed = False

    async def read(self) -> list[Output]:
        """Everything since the last call, at least one output; `Output.id` counts from 0. Raises EngineFailed."""
        if not self._news and not self._failed:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        news, self._news = self._news, []
        if news:
            return news
        raise EngineFailed(_DIED)

    @property
    def pending(self) -> bool:
        """Whether `read` has something to give at once."""
        return bool(self._news)

    def close(self) -> None:
        self.cancel(self._ids)

    def cancel(self, ids: Sequence[int] | set[int]) -> None:
        """Ends the engine's own ids `ids` of this feed; nothing happens for one that has ended."""
        ending = [i for i in ids if i in self._ids]
        self._ids.difference_update(ending)
        self._engine.forget(ending)

    def stop(self, index: int) -> None:
        """Ends the sequence `index` (from 0): its text is complete."""
        self.cancel([self._first + index])

    def put(self, output: Output) -> None:
        if output.finish == FAILED:
            self.fail()
            return
        if output.finish != RUNNING:
            self._ids.discard(output.id)
        output.id -= self._first
        last = self._news[-1] if self._news else None
        if last is not None and last.id == output.id:
            last.tokens += output.tokens
            last.finish = output.finish
            if last.scores is not None and output.scores is not None:
                last.scores += output.scores
        else:
            self._news.append(output)
        self._wake()

    def fail(self) -> None:
        self._failed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Engine:
    """`max_waiting` sequences may wait beyond the `load.max_running` that share the batch."""

    def __init__(self, load: Load, *, max_waiting: int) -> None:
        self._load, self._capacity = load, load.max_running + max_waiting
        self._ids = itertools.count(1)
        self._feeds: dict[int, Feed] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._arriving = 0
        self._ready = asyncio.Event()
        self._transport: asyncio.SubprocessTransport | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.refusal: InvalidModel | None = None
        """Set when the model can't be used; the engine is then not started again."""
        self.structured: str | None = None
        """Why grammars can't be enforced; None where they can."""
        self.tokens = 0
        """Generated since the start."""
        self.restarts = 0

    @property
    def up(self) -> bool:
        return self._ready.is_set() and self.refusal is None

    @property
    def in_flight(self) -> int:
        return len(self._feeds) + len(self._answers) + self._arriving

    @property
    def running(self) -> int:
        return min(len(self._feeds), self._load.max_running)

    @property
    def waiting(self) -> int:
        return max(0, len(self._feeds) - self._load.max_running)

    def start(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    async def ready(self) -> None:
        """Waits until the model is up. Raises InvalidModel when it can't be used."""
        await self._ready.wait()
        if self.refusal:
            raise self.refusal

    async def close(self) -> None:
        """Ends the process; what is in flight fails."""
        keeper, self._keeper = self._keeper, None
        if keeper:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def generate(self, requests: Sequence[Generate]) -> Feed:
        """Starts one sequence per request. Raises Overloaded at once, EngineFailed, InvalidModel."""
        await self._admit(len(requests))
        numbers = [next(self._ids) for _ in requests]
        feed = Feed(self, range(numbers[0], numbers[-1] + 1))
        try:
            for number, request in zip(numbers, requests, strict=True):
                self._feeds[number] = feed
                self._send(msgspec.structs.replace(request, id=number))
        except EngineFailed:
            feed.close()
            raise
        return feed

    async def score(self, tokens: list[int], alternatives: int) -> list[TokenScore]:
        """Scores of `tokens[1:]`. Raises Overloaded, EngineFailed, InvalidModel."""
        id = next(self._ids)
        scores: list[TokenScore] = await self._ask(id, Score(id, tokens, alternatives))
        return scores

    async def embed(self, inputs: list[list[int]]) -> bytes:
        """Rows of little-endian float32, joined. Raises Overloaded, EngineFailed, InvalidModel."""
        id = next(self._ids)
        rows: bytes = await self._ask(id, Embed(id, inputs))
        return rows

    def forget(self, ids: Sequence[int]) -> None:
        """Cancels sequences; their feeds hear no more of them."""
        known = [i for i in ids if self._feeds.pop(i, None) is not None]
        if known and self.up:
            with suppress(EngineFailed):
                self._send(Cancel(known))

    async def _ask(self, id: int, command: Command) -> Any:
        await self._admit(1)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[id] = answer
        try:
            self._send(command)
            return await answer
        finally:
            del self._answers[id]
            if answer.cancelled() and self.up:
                with suppress(EngineFailed):
                    self._send(Cancel([id]))

    async def _admit(self, more: int) -> None:
        """Raises Overloaded when `more` sequences don't fit; else waits until the model is up."""
        if self.in_flight + more > self._capacity and self.in_flight:
            raise Overloaded("The model's queue is full; try again in a moment.")
        if not self.up:
            self._arriving += more
            try:
                await self.ready()
            finally:
                self._arriving -= more

    def _send(self, command: Command) -> None:
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if pipe is None or pipe.is_closing():
            raise EngineFailed(_DIED)
        cast(asyncio.WriteTransport, pipe).write(frame(command))

    async def _keep(self) -> None:
        """Runs the process over and over until it refuses the model or this task is cancelled."""
        pause = 0.0
        loop = asyncio.get_running_loop()
        while self.refusal is None:
            started = loop.time()
            ended = asyncio.Event()
            transport, _ = await loop.subprocess_exec(
                lambda ended=ended: _Pipe(self, ended),  # type: ignore[misc]
                sys.executable,
                "-m",
                "genai_stack.hosting.worker",
                stderr=None,
            )
            self._transport = transport
            try:
                self._send(self._load)
                await ended.wait()
            finally:
                self._transport = None
                if self.refusal is None:
                    self._ready.clear()
                self._fail_all()
                transport.close()  # kills the process if it still runs
            if self.refusal is None:
                self.restarts += 1
                pause = min(_LONGEST_PAUSE, pause * 2 + 0.1) if loop.time() - started < 10 else 0.0
                print(
                    f"the engine ended with {transport.get_returncode()}; it is started again", file=sys.stderr
                )
                await asyncio.sleep(pause)

    def _fail_all(self) -> None:
        feeds, self._feeds = set(self._feeds.values()), {}
        for feed in feeds:
            feed.fail()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(EngineFailed(_DIED))

    def receive(self, body: bytes) -> None:
        report = decode_report(body)
        if isinstance(report, Step):
            for output in report.outputs:
                self.tokens += len(output.tokens)
                feed = self._feeds.get(output.id)
                if feed is not None:
                    if output.finish != RUNNING:
                        del self._feeds[output.id]
                    feed.put(output)
        elif isinstance(report, Ready):
            self.structured = report.structured
            self._ready.set()
        elif isinstance(report, Refused):
            self.refusal = InvalidModel(report.message)
            self._ready.set()
        elif isinstance(report, Scored):
            self._answer(report.id, report.scores)
        elif isinstance(report, Embedded):
            self._answer(report.id, report.rows)

    def _answer(self, id: int, value: Any) -> None:
        answer = self._answers.get(id)
        if answer is not None and not answer.done():
            answer.set_result(value)


class _Pipe(asyncio.SubprocessProtocol):
    def __init__(self, engine: Engine, ended: asyncio.Event) -> None:
        self._engine, self._ended, self._frames = engine, ended, Frames()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        for body in self._frames.feed(data):
            self._engine.receive(body)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has ended and its last report is in."""
        self._ended.set()
