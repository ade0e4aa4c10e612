"""The two ways an answer leaves: whole, or as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class Answer(Protocol):
    """A request that the engine has accepted. `close` must be called whatever happens; it cancels what still runs."""

    async def whole(self) -> bytes:
        """The JSON body. Raises EngineFailed."""

    def events(self) -> AsyncIterator[bytes]:
        """Server-sent events up to and with `[DONE]`. Raises EngineFailed."""

    def close(self) -> None: ...


class Done:
    """An answer that is there already."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def whole(self) -> bytes:
        return self._body

    async def events(self) -> AsyncIterator[bytes]:
        yield b"data: " + self._body + b"\n\ndata: [DONE]\n\n"

    def close(self) -> None:
        pass
