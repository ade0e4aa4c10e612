"""An event loop in a thread, so that a program without one can use what is asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()


class LoopThread:
    """Starts with the first call. Calls come from any thread but its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises. An interrupt while we wait cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        """The items of `source`; dropping the iterator closes it."""
        try:
            while (item := self.run(_next(source))) is not _END:
                yield item
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                with suppress(RuntimeError):  # the loop is closed already
                    self.run(close())

    def close(self) -> None:
        """More than once is once. Nothing may be running."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="genai-stack", daemon=True)
                self._thread.start()
            return self._loop


async def _next(source: AsyncIterator[T]) -> Any:
    return await anext(source, _END)
