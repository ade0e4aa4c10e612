"""EventBridge's account of a job, brought into its record: what the events function of the training stack calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genai_stack.errors import RequestError
from genai_stack.ports import Services

from .job_progress import JobProgress
from .observed import observe

DETAIL_TYPE = "Batch Job State Change"


def record(event: Mapping[str, Any], services: Services) -> None:
    """Brings a "Batch Job State Change" event into the record of its job, and registers the job's model when it
    succeeded. The same event may come again, and events in any order. Jobs that aren't ours change nothing, nor do the
    nodes of a multi-node job. Raises RequestError for any other event; what else it raises, a retry may cure."""
    detail = event.get("detail")
    if event.get("detail-type") != DETAIL_TYPE or not isinstance(detail, Mapping):
        raise RequestError(f"that is no {DETAIL_TYPE!r} event; let the rule send no others")
    seen = observe(detail)
    if not set("#:") & set(seen.batch):
        JobProgress(services.records, services.objects, services.registry).saw(seen)
