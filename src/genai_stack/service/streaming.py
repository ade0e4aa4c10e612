"""A model's stream of events, passed on as bytes.

Nothing is parsed on the way and no task is made per chunk. What this adds: a comment every few seconds while the
model is silent, an error event when the stream breaks, and certainty that `[DONE]` reaches the client only when the
model said it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from genai_stack.errors import EngineFailed, GenAIStackError
from genai_stack.ports import ReplyStream
from genai_stack.protocol import problems
from genai_stack.service import log
from genai_stack.service.exchange import ClientGone, Exchange, UntilGone
from genai_stack.service.upstream import refusal
from genai_stack.service.usage import counts

EVENT_STREAM = b"text/event-stream; charset=utf-8"
KEEP_ALIVE = b": keep-alive\n\n"
_TAIL = 4096
_SMALL = 64
_ERROR_BODY_MOST = 1 << 20


class Pulse:
    """Sends KEEP_ALIVE after each `seconds` of silence, between two events only.

    `silent_since` is the loop's time since which the model is waited for, infinity while a chunk is being sent;
    `tail` is the end of what was sent, which says whether an event is complete.
    """

    def __init__(self, exchange: Exchange, seconds: float) -> None:
        self._exchange, self._seconds = exchange, seconds
        self._loop = asyncio.get_running_loop()
        self.silent_since = self._loop.time()
        self.tail = b""
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
        between_events = not self.tail or self.tail.endswith((b"\n\n", b"\r\n\r\n"))
        if now >= due and between_events and (self._beat is None or self._beat.done()):
            self._beat = self._loop.create_task(self._send())

    async def _send(self) -> None:
        await self._exchange.open_stream(EVENT_STREAM)
        await self._exchange.write(KEEP_ALIVE)


async def relay(
    exchange: Exchange, upstream: AbstractAsyncContextManager[ReplyStream], *, keep_alive: float
) -> None:
    """Answers `exchange` with the events of `upstream`, which is left as soon as the client is gone.

    Raises the model's error while nothing has been sent; once something has, even a keep-alive, the error is the
    stream's last event.
    """
    pulse = Pulse(exchange, keep_alive)
    problem: GenAIStackError | None = None
    complete = False
    try:
        with UntilGone(exchange):
            async with upstream as stream:
                if stream.status != 200:
                    raise refusal(stream.status, await _whole(stream))
                await _pass_on(exchange, stream, pulse)
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
    finally:
        pulse.stop()
    await pulse.settle()
    exchange.prompt_tokens, exchange.completion_tokens = counts(pulse.tail)
    if problem is not None:
        await exchange.write(problems.event(problem))
    await exchange.finish()


async def _pass_on(exchange: Exchange, stream: ReplyStream, pulse: Pulse) -> None:
    """Raises EngineFailed when the stream ends without having said how it ended."""
    time = asyncio.get_running_loop().time
    write = exchange.write
    async for chunk in stream:
        if not chunk:
            continue
        pulse.silent_since = math.inf
        if not exchange.status:
            await exchange.open_stream(stream.content_type.encode("latin-1", "replace") or EVENT_STREAM)
        pulse.tail = chunk if len(chunk) > _SMALL else (pulse.tail + chunk)[-_TAIL:]
        await write(chunk)
        pulse.silent_since = time()
    if not pulse.tail.rstrip().endswith(b"data: [DONE]") and b'data: {"error"' not in pulse.tail:
        raise _broken_off()


def _broken_off() -> EngineFailed:
    return EngineFailed("The model stopped before its answer was complete; send the request again.")


async def _whole(stream: AsyncIterator[bytes] | ReplyStream) -> bytes:
    body = b""
    async for chunk in stream:
        body += chunk
        if len(body) > _ERROR_BODY_MOST:
            break
    return body
