"""Requests for tiny jobs (tiny_job.py), and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from genai_stack.ports import FINAL_STATES, Job, JobQueue, JobRequest, ModelVersion


def tiny(id: str, *steps: dict[str, Any], model: str | None = None, **more: Any) -> JobRequest:
    on_success = ModelVersion(model, "", base="builtin") if model else None
    return JobRequest(id, "tiny", {"steps": list(steps), **more}, on_success)


def wait(queue: JobQueue, id: str, until: Callable[[Job], bool] | None = None, seconds: float = 120) -> Job:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = queue.get(id)
        if until(job) if until else job.state in FINAL_STATES:
            return job
        time.sleep(0.02)
    raise AssertionError(f"still {queue.get(id)}\n{queue.log(id)}")


def is_running(job: Job) -> bool:
    return job.state == "running"
