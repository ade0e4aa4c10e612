"""What a spent budget does: no queue takes or starts another job, and people hear of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import GenAIStackError
from . import session
from .faults import translated
from .published import Published, read_all

FLEETS = ("spot", "multi-node")


def close_queues(stage: str) -> None:
    """Disables the stage's job queues, which then take no job, and their compute environments, which then start none:
    what runs goes on, what waits keeps waiting. Then tells the alarm topic so, and how to open them again. More than
    once is once, but for the telling. Raises GenAIStackError when something stays open, after every other is closed;
    nobody is told then."""
    found = read_all(stage, "training")
    batch = session.client("batch")
    failed = [why for name, close in _closings(batch, found) if (why := _refused(name, close))]
    if failed:
        raise GenAIStackError(f"{'; '.join(failed)}; disable what is still open in the Batch console")
    with translated("sns", "the alarm topic"):
        session.client("sns").publish(
            TopicArn=found["alarm-topic"],
            Subject=f"genai-stack {stage}: the budget is spent",
            Message=_told(stage, found),
        )


def _closings(batch: Any, found: Published) -> list[tuple[str, Callable[..., Any]]]:
    """The environments come last: a queue may be closed already while they still change."""
    queues = [found[f"{fleet}-queue"] for fleet in FLEETS]
    environments = [found[f"{fleet}-environment"] for fleet in FLEETS]
    return [
        *((arn, partial(batch.update_job_queue, jobQueue=arn)) for arn in queues),
        *((arn, partial(batch.update_compute_environment, computeEnvironment=arn)) for arn in environments),
    ]


def _refused(name: str, close: Callable[..., Any]) -> str | None:
    try:
        with translated("batch", name):
            close(state="DISABLED")
    except GenAIStackError as error:
        return error.message
    return None


def _told(stage: str, found: Published) -> str:
    """An environment opens before its queue, which takes jobs for it."""
    commands = [
        f"aws batch {order} --state ENABLED {option} {found[f'{fleet}-{what}']}"
        for fleet in FLEETS
        for order, option, what in (
            ("update-compute-environment", "--compute-environment", "environment"),
            ("update-job-queue", "--job-queue", "queue"),
        )
    ]
    return "\n".join(
        (
            f"The month's budget for EC2 machines is spent. Stage {stage!r} takes no more jobs and starts none.",
            "Jobs that run go on; jobs that wait keep waiting. To open it again:",
            "",
            *commands,
        )
    )
