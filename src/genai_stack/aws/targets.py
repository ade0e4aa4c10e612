"""Where a model name leads in a stage: the endpoint of its base, and the inference component of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import NamedTuple

from genai_stack import names
from genai_stack.errors import NotDeployedError, RequestError
from genai_stack.hosted import HostedModel
from genai_stack.ports import ModelRegistry, ModelVersion
from genai_stack.registry import base_of, pick

REMEMBERED_SECONDS = 2.0
"""As long as the API's own catalogue does: a deleted model may be found for that long."""
_REMEMBERED_MOST = 4096


class Target(NamedTuple):
    version: ModelVersion
    hosted: HostedModel
    component: str
    path: str
    """Of the endpoint, to which what is done with it is added."""


class Targets:
    """Found in the registry, in a thread, and remembered for a moment."""

    def __init__(self, stage: str, registry: ModelRegistry, hosted: Mapping[str, HostedModel]) -> None:
        """`hosted` is what the hosting stack made, by the names in the catalogue."""
        self._stage, self._registry, self._hosted = stage, registry, hosted
        self._known: dict[str, tuple[float, Target]] = {}

    async def of(self, reference: str) -> Target:
        """Of NAME@VERSION, live or not; raises as `find` does."""
        return await asyncio.to_thread(lambda: self._led(pick(self._registry, reference)))

    async def find(self, model: str) -> Target:
        """Raises NotFound (model_not_found), and NotDeployedError where the stage doesn't host its base."""
        now = time.monotonic()
        known = self._known.get(model)
        if known is not None and known[0] > now:
            return known[1]
        target = await asyncio.to_thread(self._looked_up, model)
        if len(self._known) >= _REMEMBERED_MOST:
            self._known.clear()
        self._known[model] = (now + REMEMBERED_SECONDS, target)
        return target

    def forget(self, model: str) -> None:
        self._known.pop(model, None)

    def component(self, model: str) -> str:
        return names.component(self._stage, model)

    def _looked_up(self, model: str) -> Target:
        return self._led(self._registry.get(model))

    def _led(self, version: ModelVersion) -> Target:
        model, base = version.name, base_of(self._registry, version).name if version.base else version.name
        hosted = self._hosted.get(base)
        if hosted is None:
            raise NotDeployedError(
                f"stage {self._stage!r} hosts no {base!r}, which {model!r} needs; "
                f"{names.remedy('hosting', self._stage)}"
            )
        if not hosted.placed and version.base:
            raise RequestError(
                f"{base!r} answers without components, and SageMaker serves no adapters like that; name {base!r} "
                "itself",
                code="no_adapters",
            )
        return Target(version, hosted, self.component(model), f"/endpoints/{hosted.endpoint}")
