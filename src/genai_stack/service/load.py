"""How much one process takes on. Of requests to models so many run at the same time, a quarter of that wait for a place
for no longer than `patience` seconds; any other is told at once to come back. So what is taken on is answered about as
fast as ever, however many come: a queue that grows would make all of them late, and most of them for nobody.

A process that is late itself, since it has more to do than it has processor time, sheds likewise: by how late a timer
of its event loop comes, which is how long whatever arrives waits before anybody looks at it. One late timer is a stall
of the machine, and over; of a process that has too much to do they are late one after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from ..errors import Overloaded
from .metrics import Metrics

TICK_SECONDS = 0.05
LATE_SECONDS = 2.0
"""A process that is less late than this isn't late."""
_WAITING = 4
"""One waits for so many that run."""
_OF_MEAN = 1 / 16


class Load:
    """For one event loop."""

    def __init__(
        self, places: int, patience: float, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places, self._patience, self._metrics, self._clock = places, patience, metrics, clock
        self._late = max(patience, LATE_SECONDS)
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean = 0.0
        self._late_in_a_row = 0
        self._due: float | None = None
        self._asked = False

    def check(self) -> None:
        """Before anything is read of a request. Raises Overloaded while the process is late."""
        self._asked = True
        if self._due is None:
            self._late_in_a_row = 0
            self._tick_later()
        elif self._late_in_a_row + (self._clock() - self._due > self._late) > 1:
            raise self._shed()

    async def enter(self) -> None:
        """Takes a place, at once or after a wait; `leave` gives it back. Raises Overloaded."""
        if self._running < self._places and not self._waiting:
            self._running += 1
            return
        ahead = len(self._waiting) + 1
        if ahead > max(self._places // _WAITING, 1) or ahead * self._mean / self._places > self._patience:
            raise self._shed()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._metrics.waiting = len(self._waiting)
        try:
            await asyncio.wait_for(asyncio.shield(turn), self._patience)
        except BaseException as error:
            if turn.done():  # the place came in the same moment
                self.leave()
            else:
                self._waiting.remove(turn)
            raise self._shed() if isinstance(error, TimeoutError) else error from None
        finally:
            self._metrics.waiting = len(self._waiting)

    def leave(self, seconds: float = 0.0) -> None:
        """`seconds` are those that the model took; 0 where it wasn't asked."""
        if seconds:
            self._mean += (seconds - self._mean) * (_OF_MEAN if self._mean else 1.0)
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._running -= 1

    def _shed(self) -> Overloaded:
        self._metrics.shed += 1
        error = Overloaded(
            "There is more to do than can be done at the moment; try again in 1 s.", code="overloaded"
        )
        error.retry_after = 1.0
        return error

    def _tick_later(self) -> None:
        self._due = self._clock() + TICK_SECONDS
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        assert self._due is not None, "set with the timer"
        late = self._clock() - self._due > self._late
        self._late_in_a_row = self._late_in_a_row + 1 if late else 0
        self._due = None
        if self._asked or self._running:
            self._asked = False
            self._tick_later()
