"""Responses that run on when their request has been answered, in this process.

Each is a task; what it does is kept by `Responses`, whose promise it renews while it runs. It ends with its work, with
a cancel, or with the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import NamedTuple

import msgspec

from ...errors import GenAIStackError, NotFound
from ...ports import ModelHost, ModelVersion
from ...protocol.items import Item
from ...protocol.responses import Response, ResponseFault, ResponseRequest
from ..charging import Charges
from ..ledger import Outcome
from ..limits import Admission
from ..principal import Principal
from ..turnstile import Turnstile
from ..usage import NOTHING
from .draft import Event
from .records import LEASE_SECONDS
from .responses import Responses
from .run import Run, fault
from .sending import encoded

logger = logging.getLogger("genai_stack.service")
AT_ONCE = 16
MOST, SHARE = 1000, 250
"""That wait and run, of all tenants and of one; more are refused."""
STOPPED = ResponseFault("server_error", "The API was stopped before this response was done; create it again.")
CANCELLED: Event = {
    "type": "error",
    "code": "response_cancelled",
    "message": "This response was cancelled.",
    "param": None,
}


class Order(NamedTuple):
    """What to run, and who pays for it. `ready` makes the run: it searches, and fits the prompt into the window."""

    by: Principal
    request: ResponseRequest
    response: Response
    given: list[Item]
    version: ModelVersion
    admission: Admission | None
    ready: Callable[[], Awaitable[Run]]
    wait: float | None


class Live:
    """One that runs. `events` are those so far, encoded and numbered from 0, where it is streamed."""

    def __init__(self, streamed: bool) -> None:
        self.streamed = streamed
        self.events: list[bytes] = []
        self.ended = False
        self.task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def tell(self, event: Event) -> None:
        if self.streamed:
            self.events.append(encoded(event, len(self.events)))
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    async def follow(self, start: int) -> AsyncGenerator[bytes]:
        """The events from number `start` on, until there are no more."""
        while True:
            changed = self._changed
            while start < len(self.events):
                yield self.events[start]
                start += 1
            if self.ended:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Background:
    """For one event loop. Whoever starts a response has entered the `turnstile`."""

    def __init__(self, responses: Responses, models: ModelHost, charges: Charges) -> None:
        self._responses, self._models, self._charges = responses, models, charges
        self._live: dict[str, Live] = {}
        self.turnstile = Turnstile(MOST, SHARE, "responses")
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        responses.stop = self._stop

    def start(self, order: Order) -> Live:
        """Its response is kept as queued already, and has its place, which is given back when it has ended."""
        self._loop = asyncio.get_running_loop()
        live = self._live[order.response.id] = Live(bool(order.request.stream))
        for kind in ("created", "queued"):
            live.tell({"type": f"response.{kind}", "response": order.response})
        live.task = asyncio.create_task(self._watched(order, live))
        return live

    def find(self, id: str) -> Live | None:
        return self._live.get(id)

    async def gone(self, id: str) -> None:
        """Waits until nothing works on it any more."""
        if (live := self._live.get(id)) is not None and live.task is not None:
            await asyncio.wait([live.task])

    async def close(self) -> None:
        """Ends all of them; their responses have failed."""
        self._closing = True
        tasks = [live.task for live in self._live.values() if live.task is not None]
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
        if (live := self._live.get(id)) is not None and live.task is not None:
            live.task.cancel()

    async def _watched(self, order: Order, live: Live) -> None:
        """The work, and beside it the promise that it goes on; the end of the promise is the work's."""
        id, began = order.response.id, time.perf_counter()
        run: list[Run] = []
        outcome: Outcome = "failed"
        work = asyncio.create_task(self._work(order, live, run))
        beat = asyncio.create_task(self._beat(order, work))
        try:
            await asyncio.wait([work])
            if work.cancelled():
                live.tell(CANCELLED)
                outcome = "left"
            elif (error := work.exception()) is not None:
                await self._failed(order, live, run, error)
            else:
                outcome = "answered"
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait([work])
            outcome = "left"
            if self._closing:
                with suppress(GenAIStackError):  # else the promise runs out
                    await asyncio.to_thread(self._responses.fail, order.by.tenant, id, STOPPED)
                live.tell({"type": "error", "code": "stopping", "message": STOPPED.message, "param": None})
            else:
                live.tell(CANCELLED)
        finally:
            beat.cancel()
            try:
                if run and outcome == "left":
                    await run[0].left(self._models)
            finally:  # also where it is deleted while its prompt is counted
                self._charges.background(
                    id=id,
                    by=order.by,
                    admission=order.admission,
                    model=order.version.name,
                    base=order.version.base,
                    used=run[0].used if run else NOTHING,
                    seconds=time.perf_counter() - began,
                    served=run[0].served if run else 0.0,
                    outcome=outcome,
                )
                del self._live[id]
                self.turnstile.leave(order.by.tenant, id)
                live.end()

    async def _work(self, order: Order, live: Live, run: list[Run]) -> None:
        tenant, id = order.by.tenant, order.response.id
        async with self._slots:
            await asyncio.to_thread(self._responses.begin, tenant, id)
            one = await order.ready()
            run.append(one)
            async with aclosing(one.events(self._models, order.version.name, wait=order.wait)) as events:
                async for event in events:
                    live.tell(event)
        ending = encoded(one.ending(), len(live.events)) if live.streamed else b""
        told = b"".join([*live.events, ending]) if live.streamed else None
        kept = await asyncio.to_thread(self._responses.finish, tenant, one.response, order.given, told)
        if kept.status == one.response.status:
            live.tell(one.ending())

    async def _beat(self, order: Order, work: asyncio.Task[None]) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 6)
            try:
                now = await asyncio.to_thread(self._responses.live, order.by.tenant, order.response.id)
            except NotFound:
                work.cancel()
            except GenAIStackError:  # the store is away for a moment, and the promise holds a while yet
                continue
            else:
                if now.ended:  # cancelled through another process
                    work.cancel()

    async def _failed(self, order: Order, live: Live, run: list[Run], error: BaseException) -> None:
        why = fault(error)
        if not isinstance(error, GenAIStackError):
            logger.error('{"event":"response_failed","error":"%s"}', type(error).__qualname__)
        with suppress(GenAIStackError):  # it was deleted, or the promise runs out
            await asyncio.to_thread(self._responses.fail, order.by.tenant, order.response.id, why)
        response = run[0].response if run else order.response
        live.tell(
            {
                "type": "response.failed",
                "response": msgspec.structs.replace(response, status="failed", error=why),
            }
        )
