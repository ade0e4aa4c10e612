"""Films that this process asks a model for when their request has been answered.

Each is a task; what it does is kept by `Videos`, whose promise it renews while it runs. It ends with its work, with the
film's deletion, or with the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import NamedTuple

from ...errors import GenAIStackError, NotFound
from ...ports import ModelHost
from ...protocol.refusals import refusal
from ...protocol.videos import VideoError
from ..turnstile import Turnstile
from .records import LEASE_SECONDS, StoredVideo
from .videos import Videos, fault

logger = logging.getLogger("genai_stack.service")
ROUTE = "/v1/videos/sync"
"""vLLM-Omni's, which answers with the film."""
AT_ONCE = 4
MOST, SHARE = 32, 8
"""That wait and run, with their references; of all tenants, and of one."""
STOPPED = VideoError("server_error", "The API was stopped before this film was done; create it again.")


class Work(NamedTuple):
    tenant: str
    video: StoredVideo
    body: bytes
    kind: str
    wait: float | None


class Behind:
    """For one event loop. Whoever starts a film has entered the `turnstile`."""

    def __init__(self, videos: Videos, models: ModelHost) -> None:
        self._videos, self._models = videos, models
        self._live: dict[str, asyncio.Task[None]] = {}
        self.turnstile = Turnstile(MOST, SHARE, "films")
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        videos.stop = self._stop

    def start(self, work: Work) -> None:
        """Its film is kept as queued already, and has its place, which is given back when the work has ended."""
        self._loop = asyncio.get_running_loop()
        self._live[work.video.id] = asyncio.create_task(self._watched(work))

    async def gone(self, id: str) -> None:
        """Waits until nothing works on it any more."""
        if (task := self._live.get(id)) is not None:
            await asyncio.wait([task])

    async def close(self) -> None:
        """Ends all of them; their films have failed."""
        self._closing = True
        tasks = list(self._live.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _stop(self, id: str) -> None:
        """From any thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and all of them with it
                self._loop.call_soon_threadsafe(self._cancel, id)

    def _cancel(self, id: str) -> None:
        if (task := self._live.get(id)) is not None:
            task.cancel()

    async def _watched(self, work: Work) -> None:
        """The work, and beside it the promise that it goes on."""
        tenant, id = work.tenant, work.video.id
        asked: list[float] = []
        task = asyncio.current_task()
        assert task is not None
        beat = asyncio.create_task(self._beat(work, task))
        try:
            await self._work(work, asked)
        except asyncio.CancelledError:
            with suppress(GenAIStackError):
                if self._closing:
                    await asyncio.to_thread(self._videos.fail, tenant, id, STOPPED)
                elif asked:
                    served = time.perf_counter() - asked[0]
                    await asyncio.to_thread(self._videos.left, tenant, work.video, served)
        except Exception as error:
            if not isinstance(error, GenAIStackError):
                logger.error('{"event":"video_failed","error":"%s"}', type(error).__qualname__)
            with suppress(GenAIStackError):  # it was deleted, or the promise runs out
                await asyncio.to_thread(self._videos.fail, tenant, id, fault(error))
        finally:
            beat.cancel()
            del self._live[id]
            self.turnstile.leave(tenant, id)

    async def _work(self, work: Work, asked: list[float]) -> None:
        tenant, id = work.tenant, work.video.id
        async with self._slots:
            await asyncio.to_thread(self._videos.begin, tenant, id)
            asked.append(time.perf_counter())
            reply = await self._models.invoke(
                work.video.model, ROUTE, work.body, wait=work.wait, kind=work.kind
            )
            served = time.perf_counter() - asked[0]
        if reply.status != 200:
            raise refusal(reply.status, reply.body)
        try:
            await asyncio.to_thread(
                self._videos.complete, tenant, id, [reply.body], ended=time.time(), served=served
            )
        except NotFound:  # deleted a moment ago through another process, which can't know what it took
            await asyncio.to_thread(self._videos.left, tenant, work.video, served)

    async def _beat(self, work: Work, task: asyncio.Task[None]) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 6)
            try:
                await asyncio.to_thread(self._videos.live, work.tenant, work.video.id)
            except NotFound:  # deleted through another process
                task.cancel()
                return
            except GenAIStackError:  # the store is away for a moment, and the promise holds a while yet
                continue
