"""What a serverless endpoint takes: one route, and bodies of a limited size."""

from __future__ import annotations

from genai_stack.errors import RequestError, TooLarge
from genai_stack.hosted import HostedModel

ROUTE = "/v1/anatomy"
MOST = 4_000_000
"""Bytes of a request to a serverless endpoint: SageMaker takes 4 MB ("Serverless Inference", Feature exclusions and
quotas)."""


def refuse_unserved(hosted: HostedModel, route: str, body: bytes) -> None:
    """Raises RequestError for another route than it has, TooLarge for a body that SageMaker wouldn't take."""
    if route != ROUTE:
        raise RequestError(
            f"{hosted.name!r} takes texts apart and does nothing else; POST {ROUTE}, or name another model",
            param="model",
            code="model_task_mismatch",
        )
    if len(body) > MOST:
        raise TooLarge(f"the body has {len(body)} bytes, and {hosted.name!r} takes {MOST}; send less at a time")
