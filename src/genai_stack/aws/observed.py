"""What AWS Batch says about a job, in DescribeJobs and in a "Batch Job State Change" event alike, as an Observation."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

import msgspec

from genai_stack.errors import RequestError
from genai_stack.names import CANCELLED as CANCELLED
from genai_stack.names import PAUSED as PAUSED
from genai_stack.ports import JobState

STATES: Mapping[str, JobState] = {
    "SUBMITTED": "queued",
    "PENDING": "queued",
    "RUNNABLE": "queued",
    "STARTING": "queued",
    "RUNNING": "running",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
}


class Observation(msgspec.Struct, frozen=True):
    """`name` is our job's id, `batch` Batch's own. Times are Unix seconds; `attempt` is when the last attempt began,
    and `log` names its log stream (None for a multi-node job, whose nodes have one each). `reason` says why it failed,
    as far as Batch knows."""

    name: str
    batch: str
    state: JobState
    started: float | None = None
    attempt: float | None = None
    finished: float | None = None
    reason: str | None = None
    log: str | None = None


class _Container(msgspec.Struct, rename="camel"):
    exit_code: int | None = None
    reason: str | None = None
    log_stream_name: str | None = None


class _Attempt(msgspec.Struct, rename="camel"):
    container: _Container | None = None
    started_at: int | None = None
    stopped_at: int | None = None
    status_reason: str | None = None


class _Detail(msgspec.Struct, rename="camel"):
    """The JobDetail of the Batch API, as far as it matters here. Times are Unix milliseconds."""

    job_name: str
    job_id: str
    status: str
    status_reason: str | None = None
    started_at: int | None = None
    stopped_at: int | None = None
    attempts: list[_Attempt] = []
    container: _Container | None = None


def observe(detail: Mapping[str, Any]) -> Observation:
    """Raises RequestError when `detail` isn't a job's."""
    try:
        job = msgspec.convert(dict(detail), _Detail)
        state = STATES[job.status]
    except (msgspec.ValidationError, KeyError) as error:
        raise RequestError(f"that is no Batch job: {error}; see the Batch API's JobDetail") from None
    starts = [at / 1000 for at in (*(a.started_at for a in job.attempts), job.started_at) if at]
    last = job.attempts[-1] if job.attempts else None
    containers = [c for c in (last.container if last else None, job.container) if c is not None]
    if job.status == "RUNNING":
        containers.reverse()  # the attempt that runs isn't among the attempts yet
    log = next((c.log_stream_name for c in containers if c.log_stream_name), None)
    seen = Observation(
        name=job.job_name,
        batch=job.job_id,
        state=state,
        started=min(starts, default=None),
        attempt=max(starts, default=None),
        log=log,
    )
    if state not in ("succeeded", "failed"):
        return seen
    stops = [at / 1000 for at in (*(a.stopped_at for a in job.attempts), job.stopped_at) if at]
    seen = msgspec.structs.replace(seen, finished=max(stops, default=None))
    if state == "succeeded":
        return seen
    if job.status_reason == CANCELLED:
        return msgspec.structs.replace(seen, state="cancelled")
    if job.status_reason == PAUSED:
        return msgspec.structs.replace(seen, state="paused")
    return msgspec.structs.replace(seen, reason=_reason(job, containers))


def _reason(job: _Detail, containers: list[_Container]) -> str:
    code = next((c.exit_code for c in containers if c.exit_code is not None), None)
    why = next((c.reason for c in containers if c.reason), None) or job.status_reason
    told = []
    if code is not None:
        told.append(f"the program ended with {_ending(code)}")
    if why:
        told.append(why.rstrip("."))
    return "; ".join(told or ["the job failed, and Batch doesn't say why"])


def _ending(code: int) -> str:
    """A container's exit code is 128 and the signal's number where a signal ended it."""
    if code > 128:
        try:
            return f"signal {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"exit code {code}"
