"""Events of a response to its client: numbered, with comments while the model is silent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ...errors import GenAIStackError
from ..exchange import Exchange
from ..streaming import EVENT_STREAM, Pulse
from .draft import Event


def encoded(event: Event, number: int) -> bytes:
    """As server-sent event; `type` is told twice, as OpenAI does."""
    told: dict[str, Any] = {"type": event["type"], "sequence_number": number, **event}
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(told))


def error_event(error: GenAIStackError) -> Event:
    return {"type": "error", "code": error.code, "message": error.message, "param": error.param}


class Sender:
    """Writes events as they come. `number` is that of the next one."""

    def __init__(self, exchange: Exchange, keep_alive: float, *, number: int = 0) -> None:
        self._exchange, self.number = exchange, number
        self._pulse = Pulse(exchange, keep_alive)
        self._time = asyncio.get_running_loop().time

    async def send(self, event: Event) -> None:
        number, self.number = self.number, self.number + 1
        await self.write(encoded(event, number))

    async def write(self, data: bytes) -> None:
        self._pulse.silent_since = math.inf
        await self._exchange.open_stream(EVENT_STREAM)
        await self._exchange.write(data)
        self._pulse.silent_since = self._time()

    async def quiet(self) -> None:
        """No comment is written from here on."""
        await self._pulse.settle()

    def stop(self) -> None:
        self._pulse.stop()


async def replay(exchange: Exchange, events: AsyncIterator[bytes], keep_alive: float) -> None:
    """Answers with events that are encoded already."""
    sender = Sender(exchange, keep_alive)
    try:
        async for data in events:
            await sender.write(data)
        await sender.quiet()
        await exchange.open_stream(EVENT_STREAM)  # nothing came, and that is all there is
    finally:
        sender.stop()
