"""Which models a request may name, asked of the registry at most once in a short while per name."""

from __future__ import annotations

import asyncio
import time

from ..errors import RequestError
from ..ports import ModelRegistry, ModelVersion

CACHE_SECONDS = 2.0
"""How long a model that another process deleted may still be found. A missing one is never remembered."""
_CACHED_MOST = 4096


class Catalogue:
    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._cache: dict[str, tuple[float, ModelVersion]] = {}

    async def find(self, name: str) -> ModelVersion:
        """Raises NotFound with code model_not_found."""
        now = time.monotonic()
        if (cached := self._cache.get(name)) and cached[0] > now:
            return cached[1]
        self._cache.pop(name, None)
        version = await asyncio.to_thread(self._registry.get, name)
        if len(self._cache) >= _CACHED_MOST:
            self._cache.clear()
        self._cache[name] = (now + CACHE_SECONDS, version)
        return version

    async def find_for(self, name: str, task: str | None) -> ModelVersion:
        """Also raises RequestError when the model does another task than the route asks of it."""
        version = await self.find(name)
        if task is not None and version.task != task:
            raise RequestError(
                f"'{version.name}' is for {version.task}, not {task}; name another model (GET /v1/models lists them).",
                param="model",
                code="model_task_mismatch",
            )
        return version

    async def all(self) -> list[ModelVersion]:
        return await asyncio.to_thread(self._registry.list)

    async def delete(self, name: str) -> None:
        """Raises NotFound; Conflict for a configured model."""
        await asyncio.to_thread(self._registry.delete, name)
        self._cache.pop(name, None)
