"""Job state changes, from EventBridge to the records."""

from __future__ import annotations

from typing import Any

from genai_stack.aws.attaching import attach
from genai_stack.aws.job_events import record
from genai_stack.settings import stage
from genai_stack.wiring import aws_jobs

services = aws_jobs(stage())


def handle(event: dict[str, Any], context: object) -> None:
    """Lambda's entry point. What is raised is retried, and waits in the dead-letter queue in the end."""
    record(event, services, attach=lambda version: attach(stage(), version))
