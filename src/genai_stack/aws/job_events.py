"""EventBridge's account of a job, brought into its record: what the events function of the training stack calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from genai_stack.errors import NotFound, RequestError
from genai_stack.ports import FINAL_STATES, ModelVersion, Services
from genai_stack.registry import register_checkpoints, register_made

from .job_progress import EVENTS, JobProgress
from .observed import observe
from .observed_training import observe as observe_training

BATCH = "Batch Job State Change"
SAGEMAKER = "SageMaker Training Job State Change"


Attach = Callable[[ModelVersion], None]


def record(event: Mapping[str, Any], services: Services, attach: Attach | None = None) -> None:
    """Brings a state change of a Batch job or of a SageMaker training job into the record of the job, and registers the
    job's model when it succeeded; an adapter, and those that the job kept on its way, are then given to `attach`, which
    makes them answer. The same event may come again, and events in any order. Jobs that aren't ours change nothing, nor
    do the nodes of a multi-node job. Raises RequestError for any other event; what else it raises, a retry may cure."""
    detail, kind = event.get("detail"), event.get("detail-type")
    if kind not in (BATCH, SAGEMAKER) or not isinstance(detail, Mapping):
        raise RequestError(f"that is no {BATCH!r} event and no {SAGEMAKER!r} one; let the rules send no others")
    seen = observe(detail) if kind == BATCH else observe_training(detail)
    if seen is None or set("#:") & set(seen.batch):
        return
    progress = JobProgress(services.records, services.objects, services.registry)
    after = progress.saw(seen)
    if after is None or attach is None or after.state not in FINAL_STATES:
        return
    if after.state == "succeeded" and after.model is not None:
        with suppress(NotFound):  # deleted since
            version = services.registry.get(after.model)
            if version.job == after.id:
                # Again: who looked first may have had no right to mirror it.
                register_made(services.registry, version)
                if version.base is not None:
                    attach(version)
    if (made := after.on_success) is not None and made.base is not None:
        told = progress.lines(after.id, EVENTS)
        for checkpoint in register_checkpoints(services.registry, made, after.output, told).values():
            attach(checkpoint)
