"""A training job in hand: what it does, what it said, and waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from ..errors import JobFailed
from ..ports import FINAL_STATES, Job, JobQueue, JobState
from .progress import Follower

POLL_SECONDS = 0.2


def beside(job: Job, name: str) -> Path:
    """The file `name` of a job that writes to a directory of this machine."""
    return Path(job.output) / name


class TrainingJob:
    """A handle; the job itself lives in the queue and goes on without this object, or this program."""

    def __init__(
        self,
        queue: JobQueue,
        job: Job,
        *,
        poll: float = POLL_SECONDS,
        option: str = "",
        fetch: Callable[[Job, str], Path] = beside,
    ) -> None:
        """`poll` is the pause in seconds between two looks at it, `option` what the command line needs to find it,
        `fetch` brings a file of its output to this machine."""
        self._queue, self._job = queue, job
        self.poll, self._option, self._fetch = poll, option, fetch

    @property
    def id(self) -> str:
        return self._job.id

    @property
    def state(self) -> JobState:
        """As of now; a final state is remembered."""
        return self.refresh().state

    @property
    def model(self) -> str | None:
        """The name the result answers to; None until the job has succeeded."""
        return self.refresh().model

    @property
    def error(self) -> str | None:
        """Why it failed."""
        return self.refresh().error

    def refresh(self) -> Job:
        """The job's record as it stands."""
        if self._job.state not in FINAL_STATES:
            self._job = self._queue.get(self.id)
        return self._job

    def events(self, *, after: int = 0) -> list[dict[str, Any]]:
        """What the training program reported so far (`type`, `level`, `message`, `time`), from index `after` on."""
        return self._queue.events(self.id, after=after)

    def metrics(self, *, after: int = 0) -> list[dict[str, Any]]:
        """One entry per logged step (`step`, `loss`, `tokens_per_second` …), from index `after` on."""
        return self._queue.metrics(self.id, after=after)

    def log(self) -> str:
        """What the training program printed."""
        return self._queue.log(self.id)

    def cancel(self) -> None:
        """Stops the work; nothing happens to a job that has ended."""
        self._job = self._queue.cancel(self.id)

    def pause(self) -> None:
        """Interrupts the work, which keeps what it has come to, until `resume`; nothing happens to a job that has
        ended. Raises RequestError for a job on SageMaker."""
        self._job = self._queue.pause(self.id)

    def resume(self) -> None:
        """A paused job goes on from what it kept; nothing happens to any other. One that is still on its way to be
        paused isn't: look at its `state` first."""
        self._job = self._queue.resume(self.id)

    def wait(self, *, progress: bool = True, timeout: float | None = None) -> Self:
        """Returns when the job has succeeded, showing a progress bar on stderr meanwhile. Raises JobFailed when it
        ends otherwise, TimeoutError after `timeout` seconds. An interrupt, or another error in looking after it, leaves
        the job running."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with Follower(self, show=progress) as follower:
            while not follower.step():
                _check(deadline, self.id)
                time.sleep(self.poll)
        return self._succeeded()

    def _succeeded(self) -> Self:
        job = self.refresh()
        if job.state != "succeeded":
            why = f": {job.error}" if job.error else ""
            raise JobFailed(f"job {job.id} {job.state}{why}; see: genai-stack jobs logs {job.id}{self._option}")
        return self

    def _left(self, name: str) -> Path:
        """The file `name` of its output, on this machine. Raises JobFailed unless the job has succeeded."""
        return self._fetch(self._succeeded().refresh(), name)


class AsyncTrainingJob:
    """TrainingJob for a program with an event loop."""

    def __init__(self, job: TrainingJob) -> None:
        self._over = job

    @property
    def id(self) -> str:
        return self._over.id

    async def refresh(self) -> Job:
        """The job's record as it stands: its `state`, `model`, `error`."""
        return await asyncio.to_thread(self._over.refresh)

    async def events(self, *, after: int = 0) -> list[dict[str, Any]]:
        """See TrainingJob.events."""
        return await asyncio.to_thread(self._over.events, after=after)

    async def metrics(self, *, after: int = 0) -> list[dict[str, Any]]:
        """See TrainingJob.metrics."""
        return await asyncio.to_thread(self._over.metrics, after=after)

    async def log(self) -> str:
        """What the training program printed."""
        return await asyncio.to_thread(self._over.log)

    async def cancel(self) -> None:
        """See TrainingJob.cancel."""
        await asyncio.to_thread(self._over.cancel)

    async def pause(self) -> None:
        """See TrainingJob.pause."""
        await asyncio.to_thread(self._over.pause)

    async def resume(self) -> None:
        """See TrainingJob.resume."""
        await asyncio.to_thread(self._over.resume)

    async def wait(self, *, progress: bool = True, timeout: float | None = None) -> Job:
        """The job's record once it has succeeded; see TrainingJob.wait."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with Follower(self._over, show=progress) as follower:
            while not await asyncio.to_thread(follower.step):
                _check(deadline, self.id)
                await asyncio.sleep(self._over.poll)
        return self._over._succeeded().refresh()


def _check(deadline: float | None, id: str) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError(f"job {id} is still running; it goes on")
