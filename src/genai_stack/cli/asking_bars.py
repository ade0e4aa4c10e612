"""Many questions through the API, with a bar for each series and what was right so far."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..client.stack import GenAIStack
    from ..scorecard.asking import Answered, Series


def ask(
    stack: GenAIStack, series: Sequence[Series], *, quiet: bool, in_flight: int | None = None
) -> list[Answered]:
    """As `scorecard.asking.ask_all`, with bars on stderr where it is a terminal and nobody wants quiet."""
    from ..client.service import AsyncService
    from ..scorecard import asking

    async def asked() -> list[Answered]:
        service = AsyncService(stack.endpoint)
        try:
            with _bars(series, show=not quiet and sys.stderr.isatty()) as told:
                return await asking.ask_all(service, series, in_flight=in_flight or asking.IN_FLIGHT, told=told)
        finally:
            await service.close()

    return asyncio.run(asked())


@contextmanager
def _bars(series: Sequence[Series], *, show: bool) -> Iterator[Callable[[Answered], None]]:
    """What it gives is told of each answer as it comes."""
    if not show:
        yield lambda answered: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {each.name: progress.add_task(each.name, total=len(each.questions), told="") for each in series}
        right = dict.fromkeys(tasks, 0)

        def told(answered: Answered) -> None:
            right[answered.series] += all(answered.right.values())
            progress.update(tasks[answered.series], advance=1, told=f"{right[answered.series]} right")

        yield told
