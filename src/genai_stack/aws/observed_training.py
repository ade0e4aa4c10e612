"""What SageMaker says about a training job, in DescribeTrainingJob and in a "SageMaker Training Job State Change" event
alike, as an Observation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from genai_stack import names
from genai_stack.errors import RequestError
from genai_stack.ports import JobState

from .observed import Observation

STATES: Mapping[str, JobState] = {
    "InProgress": "queued",
    "Stopping": "running",
    "Completed": "succeeded",
    "Failed": "failed",
    "Stopped": "cancelled",
}
TOO_LONG = {
    "MaxRuntimeExceeded": "it trained longer than the stage's max_hours",
    "MaxWaitTimeExceeded": "it waited longer for spot capacity than the stage's capacity_wait_minutes",
}
REASON = "the training job failed; its log, or SageMaker's console, may say why"
"""Events have no reason."""


class _Detail(msgspec.Struct, rename="pascal"):
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_DescribeTrainingJob.html, as far as it matters."""

    training_job_name: str
    training_job_status: str
    secondary_status: str | None = None
    failure_reason: str | None = None
    hyper_parameters: dict[str, str] = {}
    training_start_time: Any = None
    training_end_time: Any = None
    last_modified_time: Any = None


def observe(detail: Mapping[str, Any]) -> Observation | None:
    """None when it is no job of ours: one of ours has its spec among the hyperparameters, and the name that goes with
    it. Raises RequestError when `detail` isn't a training job's."""
    try:
        job = msgspec.convert(dict(detail), _Detail)
        state = STATES[job.training_job_status]
    except (msgspec.ValidationError, KeyError) as error:
        raise RequestError(f"that is no training job: {error}; see SageMaker's DescribeTrainingJob") from None
    bucket, _, key = job.hyper_parameters.get("spec", "").removeprefix("s3://").partition("/")
    id = key.split("/")[1] if key.count("/") == 2 else ""
    if key != names.job_spec(id) or job.training_job_name != names.training_job(bucket, id):
        return None
    started = _seconds(job.training_start_time)
    if state == "queued" and started is not None:
        state = "running"
    seen = Observation(id, job.training_job_name, state, started=started, attempt=started)
    if state in ("queued", "running"):
        return seen
    finished = _seconds(job.training_end_time) or _seconds(job.last_modified_time)
    seen = msgspec.structs.replace(seen, finished=finished)
    if state == "failed":
        return msgspec.structs.replace(seen, reason=job.failure_reason or REASON)
    if state == "cancelled" and job.secondary_status in TOO_LONG:
        why = f"{TOO_LONG[job.secondary_status]}; raise it and deploy again, then train again"
        return msgspec.structs.replace(seen, state="failed", reason=why)
    return seen


def _seconds(moment: Any) -> float | None:
    """boto3 makes datetimes; an event has Unix milliseconds, as a number or as a text."""
    if isinstance(moment, datetime):
        return moment.timestamp()
    try:
        return float(moment) / 1000
    except (TypeError, ValueError):
        return None
