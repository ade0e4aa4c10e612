"""A model's stream of events, passed on as bytes.

Nothing but the usage is read on the way and no task is made per chunk; only where a chunk ends inside an event, that
part waits for its rest, so that whatever is written stands between whole events. What this adds: a comment every few
seconds while the model is silent, an error event when the stream breaks, and certainty that `[DONE]` reaches the client
only when the model said it and its stream ended well (vLLM says it after an error, too).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from time import perf_counter

from ..errors import EngineFailed, GenAIStackError
from ..ports import ReplyStream
from ..protocol import problems
from ..protocol.refusals import refusal
from . import log
from .exchange import ClientGone, Exchange, UntilGone
from .usage import StreamedUsage

EVENT_STREAM = b"text/event-stream; charset=utf-8"
KEEP_ALIVE = b": keep-alive\n\n"
_ENDS = (b"\n\n", b"\r\n\r\n")
_DONE = b"data: [DONE]"
_DONES = tuple(_DONE + end for end in _ENDS)
_TAIL = 4096
_SMALL = 64
_ERROR_BODY_MOST = 1 << 20


class Pulse:
    """Sends KEEP_ALIVE after each `seconds` of silence. `silent_since` is the loop's time since which the model is
    waited for, infinity while an event is being sent."""

    def __init__(self, exchange: Exchange, seconds: float) -> None:
        self._exchange, self._seconds = exchange, seconds
        self._loop = asyncio.get_running_loop()
        self.silent_since = self._loop.time()
        self._beat: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(seconds, self._tick)

    def stop(self) -> None:
        self._timer.cancel()

    async def settle(self) -> None:
        """Waits for a comment that is on its way out, so that nothing is written after the end."""
        self.stop()
        if self._beat is not None:
            await self._beat

    def _tick(self) -> None:
        due = self.silent_since + self._seconds
        now = self._loop.time()
        if now < due < math.inf:
            self._timer = self._loop.call_at(due, self._tick)
            return
        self._timer = self._loop.call_later(self._seconds, self._tick)
        if now >= due and (self._beat is None or self._beat.done()):
            self._beat = self._loop.create_task(self._send())

    async def _send(self) -> None:
        await self._exchange.open_stream(EVENT_STREAM, first=False)
        await self._exchange.write(KEEP_ALIVE)


async def relay(
    exchange: Exchange,
    upstream: AbstractAsyncContextManager[ReplyStream],
    usage: StreamedUsage,
    *,
    keep_alive: float,
) -> None:
    """Answers `exchange` with the events of `upstream`, which is left as soon as the client is gone.

    Raises the model's error while nothing has been sent; once something has, even a keep-alive, the error is the
    stream's last event. However it ends, the exchange knows what the model had used when it did.
    """
    pulse = Pulse(exchange, keep_alive)
    exchange.asked, exchange.streamed = perf_counter(), True
    problem: GenAIStackError | None = None
    complete = False
    try:
        with UntilGone(exchange):
            async with upstream as stream:
                if stream.status != 200:
                    raise refusal(stream.status, await whole(stream))
                await _pass_on(exchange, stream, pulse, usage)
                complete = True
    except ClientGone:
        raise
    except Exception as error:
        await pulse.settle()
        if not exchange.status:
            raise
        if not isinstance(error, GenAIStackError):
            log.unexpected(exchange, error)
        if not complete:
            problem = error if isinstance(error, GenAIStackError) else _broken_off()
            exchange.broken = True
    finally:
        pulse.stop()
        exchange.used = usage.used()
        exchange.served = perf_counter() - exchange.asked
    await pulse.settle()
    if problem is not None:
        await exchange.write(problems.event(problem))
    await exchange.finish()


async def _pass_on(exchange: Exchange, stream: ReplyStream, pulse: Pulse, usage: StreamedUsage) -> None:
    """Raises EngineFailed when the stream ends without having said how it ended."""
    time = asyncio.get_running_loop().time
    write = exchange.write
    tail = held = b""
    async for chunk in stream:
        if held:
            chunk, held = held + chunk, b""
        if not chunk.endswith(_ENDS) or chunk.endswith(_DONES):
            cut = _whole_events(chunk)
            chunk, held = chunk[:cut], chunk[cut:]
            if not chunk:
                continue
        pulse.silent_since = math.inf
        if exchange.first_byte is None:
            await exchange.open_stream(stream.content_type.encode("latin-1", "replace") or EVENT_STREAM)
        tail = chunk if len(chunk) > _SMALL else (tail + chunk)[-_TAIL:]
        if chunk := usage.passed(chunk):
            await write(chunk)
        pulse.silent_since = time()
    if b'data: {"error"' in tail:
        exchange.broken = True
        return
    if held.rstrip() != _DONE or not tail:
        raise _broken_off()
    await write(held if held.endswith(_ENDS) else problems.DONE)


def _whole_events(chunk: bytes) -> int:
    """How many bytes of it are events that are complete; the last one, `[DONE]`, waits until it is sure."""
    if chunk.endswith(_DONES):
        return chunk.rindex(_DONE)
    return max(chunk.rfind(end) + len(end) if end in chunk else 0 for end in _ENDS)


def _broken_off() -> EngineFailed:
    return EngineFailed("The model stopped before its answer was complete; send the request again.")


async def whole(stream: AsyncIterator[bytes] | ReplyStream) -> bytes:
    """An error's body, as far as a client needs it."""
    body = b""
    async for chunk in stream:
        body += chunk
        if len(body) > _ERROR_BODY_MOST:
            break
    return body
