"""A finished adapter answers by itself, where its base is hosted."""

from __future__ import annotations

from genai_stack.ports import ModelVersion

from . import published
from .components import Components


def attach(stage: str, version: ModelVersion) -> None:
    """Asks for the component of an adapter, and returns. Nothing happens where the stage doesn't host its base, or
    hosts it without adapters: `genai-stack models show` tells. What it raises, a retry may cure."""
    hosted = published.hosted_models(stage).get(version.base or "")
    if hosted is not None and hosted.adapters:
        Components(stage).start(version, hosted)
