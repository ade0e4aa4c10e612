"""What CloudFormation asks of a hosted model's inference components."""

from __future__ import annotations

from typing import Any

from genai_stack.aws.component_requests import Context, answer
from genai_stack.settings import stage


def handle(event: dict[str, Any], context: Context) -> None:
    """Lambda's entry point. What is raised is retried, and waits in the dead-letter queue in the end."""
    answer(event, context, stage())
