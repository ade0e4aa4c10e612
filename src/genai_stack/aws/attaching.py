"""A finished adapter answers by itself, where its base is hosted."""

from __future__ import annotations

import logging

from genai_stack.errors import Conflict
from genai_stack.ports import ModelVersion
from genai_stack.registry import MOVED_ON

from . import published
from .components import Components


def attach(stage: str, version: ModelVersion) -> None:
    """Asks for the component of an adapter, and returns. Nothing happens where the stage doesn't host its base, or
    hosts it without adapters: `genai-stack models show` tells. Nor where the base has moved on to another version since
    the adapter was tuned, which is logged. What it raises, a retry may cure."""
    hosted = published.hosted_models(stage).get(version.base or "")
    if hosted is None or not hosted.adapters:
        return
    try:
        Components(stage).start(version, hosted)
    except Conflict as error:
        if error.code != MOVED_ON:
            raise
        logging.getLogger(__name__).warning("%s", error.message)
