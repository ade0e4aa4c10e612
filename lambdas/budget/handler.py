"""The month's budget is spent: the queues close."""

from __future__ import annotations

from typing import Any

from genai_stack.aws.spending import close_queues
from genai_stack.settings import stage


def handle(event: dict[str, Any], context: object) -> None:
    """Lambda's entry point. What is raised is retried, and waits in the dead-letter queue in the end."""
    close_queues(stage())
