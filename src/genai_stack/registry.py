"""ModelRegistry over a RecordStore: the models the configuration names, then those that jobs made."""

from __future__ import annotations

import builtins
import time
from collections.abc import Iterable

import msgspec

from .errors import ConditionFailed, Conflict, NotFound
from .ports import ModelVersion, RecordStore

COLLECTION = "models"
DEFAULTS = (
    ModelVersion("builtin", "builtin"),
    ModelVersion("all-minilm-l6-v2", "minilm", task="embedding"),
)


class RecordedModels:
    """Two versions are the same when all but `created` agrees; `created` says when it was first registered."""

    def __init__(self, records: RecordStore, configured: Iterable[ModelVersion] = DEFAULTS) -> None:
        self._records = records
        self._configured = {version.name: version for version in configured}

    def register(self, version: ModelVersion) -> ModelVersion:
        there = self._find(version.name)
        if there is None:
            new = msgspec.structs.replace(version, created=version.created or time.time())
            try:
                self._records.put(COLLECTION, new.name, msgspec.to_builtins(new), if_version=0)
                return new
            except ConditionFailed:
                there = self.get(version.name)
        if msgspec.structs.replace(version, created=there.created) != there:
            raise Conflict(f"a model named {version.name!r} exists already; choose another name, or delete it")
        return there

    def get(self, name: str) -> ModelVersion:
        version = self._find(name)
        if version is None:
            raise NotFound(
                f"The model {name[:200]!r} does not exist; GET /v1/models lists those that do",
                code="model_not_found",
                param="model",
            )
        return version

    def list(self) -> builtins.list[ModelVersion]:
        registered: builtins.list[ModelVersion] = []
        after: str | None = None
        while page := self._records.query(COLLECTION, after=after, limit=1000):
            registered += (msgspec.convert(record.item, ModelVersion) for record in page)
            after = page[-1].id
        registered.sort(key=lambda version: (version.created, version.name))
        return [*self._configured.values(), *(v for v in registered if v.name not in self._configured)]

    def delete(self, name: str) -> None:
        if name in self._configured:
            raise Conflict(f"{name!r} is named in the configuration; remove it there")
        self.get(name)
        self._records.delete(COLLECTION, name)

    def _find(self, name: str) -> ModelVersion | None:
        if name in self._configured:
            return self._configured[name]
        record = self._records.get(COLLECTION, name)
        return msgspec.convert(record.item, ModelVersion) if record else None
