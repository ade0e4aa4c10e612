"""A job's progress on stderr: a bar with step, loss and tokens per second, or with requests answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from ..ports import FINAL_STATES, Job

if TYPE_CHECKING:
    from rich.progress import Progress


class Followed(Protocol):
    @property
    def id(self) -> str: ...
    def refresh(self) -> Job: ...
    def events(self, *, after: int = 0) -> list[dict[str, Any]]: ...
    def metrics(self, *, after: int = 0) -> list[dict[str, Any]]: ...


class Follower:
    """Reads on where it last read. Without `show` it only looks at the state."""

    def __init__(self, job: Followed, *, show: bool) -> None:
        self._job, self._show = job, show
        self._events = self._metrics = 0
        self._progress: Progress | None = None

    def __enter__(self) -> Self:
        if self._show:
            self._progress = _bar()
            self._task = self._progress.add_task("waiting", total=None, told="")
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def step(self) -> bool:
        """Shows what is new; whether the job has ended."""
        job = self._job.refresh()
        if self._progress:
            self._draw(self._progress, job)
        return job.state in FINAL_STATES

    def _draw(self, progress: Progress, job: Job) -> None:
        events = self._job.events(after=self._events)
        metrics = self._job.metrics(after=self._metrics)
        self._events, self._metrics = self._events + len(events), self._metrics + len(metrics)
        progress.update(self._task, description=_stage(job, bool(self._metrics)))
        for event in events:
            if total := event.get("total_steps"):
                progress.update(self._task, total=total)
            if event.get("level") == "warn":
                progress.console.print(f"  {event.get('message', '')}", style="yellow", markup=False)
        losses = [line for line in metrics if "loss" in line]
        if losses:
            last = losses[-1]
            told = f"loss {last['loss']:.3f}  {last.get('tokens_per_second', 0):,.0f} tokens/s"
            if "mfu" in last:
                told += f"  {last['mfu']:.0%} of peak"
            progress.update(self._task, completed=last["step"], total=last["total_steps"], told=told)
        counts = [line for line in metrics if "completed" in line]
        if counts:
            last, failed = counts[-1], counts[-1].get("failed", 0)
            told = f"{failed} failed" if failed else ""
            progress.update(self._task, completed=last["completed"] + failed, total=last["total"], told=told)


@contextmanager
def transfer(what: str, *, show: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar over the bytes of one transfer; what it yields is told how many are done, and of how many."""
    if not show:
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (BarColumn(bar_width=28), DownloadColumn(), TransferSpeedColumn())
    with Progress(TextColumn("  {task.description}"), *columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _stage(job: Job, works: bool) -> str:
    if job.state != "running":
        return job.state
    return {"train": "training"}.get(job.kind, "asking") if works else "preparing"


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("  {task.description:<9}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
