"""ModelRegistry over a RecordStore: the models the configuration names, and the versions registered under any name.

One record holds all there is to a name, so each change is one conditional write, and a kill leaves the state before it
or the state after it. A record outlives what it held: a number stands for one version ever after.
"""

from __future__ import annotations

import builtins
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from . import names
from .errors import ConditionFailed, Conflict, NotFound, RequestError
from .ports import ModelRegistry, ModelVersion, Record, RecordStore

COLLECTION = "models"
MOVED_ON = "base_moved_on"
"""The code of the Conflict about an adapter whose base isn't, or doesn't serve, what the adapter was tuned from."""
MOST = 200
"""Versions of a name; DynamoDB takes 400 KB for all of them."""
REMEMBERED = 50
"""Promotions that can be taken back, one after the other."""
DEFAULTS = (
    ModelVersion("builtin", "builtin"),
    ModelVersion("all-minilm-l6-v2", "minilm", task="embedding"),
)
_REFERENCE = re.compile(r"(?P<name>.+)@(?P<version>0|[1-9]\d{0,8})", re.DOTALL)


class Shelf(msgspec.Struct, frozen=True):
    """All about a name. `count` is the number given last, `live` the version promoted last (None before the first
    promotion), `before` those that it took over from, the latest last."""

    versions: tuple[ModelVersion, ...] = ()
    count: int = 0
    live: int | None = None
    before: tuple[int, ...] = ()


Change = Callable[[Shelf], Shelf]


class RecordedModels:
    """Safe from any thread and any number of processes."""

    def __init__(
        self,
        records: RecordStore,
        configured: Iterable[ModelVersion] = DEFAULTS,
        *,
        unlisted: Iterable[ModelVersion] = (),
    ) -> None:
        """`unlisted` models are known by name, so that jobs can start from them, but nothing answers as they: the list
        leaves them out, as long as no version of theirs is promoted. Where `configured` has the name, that counts."""
        self._records = records
        self._configured = {version.name: version for version in configured}
        self._unlisted = {v.name for v in unlisted} - self._configured.keys()
        self._configured |= {v.name: v for v in unlisted if v.name in self._unlisted}

    def register(self, version: ModelVersion) -> ModelVersion:
        if _REFERENCE.fullmatch(version.name):
            raise RequestError(f"{version.name!r} reads as a version; choose a name without an '@' at its end")

        def added(shelf: Shelf) -> Shelf:
            if self._same(version, shelf) is not None:
                return shelf
            if len(shelf.versions) >= MOST:
                raise Conflict(f"{version.name!r} has {MOST} versions; delete some that nobody needs")
            number = shelf.count + 1
            new = msgspec.structs.replace(
                version,
                version=number,
                created=version.created or time.time(),
                approval="approved" if self._is_first(version, shelf) else "pending",
            )
            return msgspec.structs.replace(shelf, versions=(*shelf.versions, new), count=number)

        found = self._same(version, self._change(version.name, added))
        assert found is not None
        return found

    def get(self, name: str) -> ModelVersion:
        live = self._live(name, self._read(name)[0])
        if live is None:
            raise _unknown(name)
        return live

    def list(self) -> builtins.list[ModelVersion]:
        shelves = dict(self._all())
        configured = [self._live(name, shelves.get(name, Shelf())) for name in self._configured]
        others = (self._live(name, shelf) for name, shelf in shelves.items() if name not in self._configured)
        registered = sorted((v for v in others if v is not None), key=lambda v: (v.created, v.name))
        return [*(v for v in configured if v is not None and not self._hides(v)), *registered]

    def versions(self, name: str) -> builtins.list[ModelVersion]:
        found = self._versions(name, self._read(name)[0])
        if not found:
            raise _unknown(name)
        return found

    def promote(self, name: str, version: int) -> ModelVersion:
        def promoted(shelf: Shelf) -> Shelf:
            live = self._live(name, shelf)
            if live is None:
                raise _unknown(name)
            self._numbered(name, shelf, version)
            before = shelf.before if live.version == version else (*shelf.before, live.version)
            moved = msgspec.structs.replace(shelf, live=version, before=before[-REMEMBERED:])
            return self._approved(moved, version)

        return self._numbered(name, self._change(name, promoted), version)

    def rollback(self, name: str) -> ModelVersion:
        def back(shelf: Shelf) -> Shelf:
            live = self._live(name, shelf)
            if live is None:
                raise _unknown(name)
            there = {version.version for version in self._versions(name, shelf)}
            left = [number for number in shelf.before if number in there]
            while left and left[-1] == live.version:  # what stood between the two is deleted
                left.pop()
            if not left:
                raise Conflict(
                    f"no version of {name!r} was live before this one; promote another by its number"
                )
            return msgspec.structs.replace(shelf, live=left[-1], before=tuple(left[:-1]))

        after = self._change(name, back)
        live = self._live(name, after)
        assert live is not None
        return live

    def delete(self, name: str, version: int | None = None) -> None:
        if name in self._configured and not version:
            raise Conflict(f"{name!r} is named in the configuration; remove it there")
        self._refuse_users(name, version)

        def without(shelf: Shelf) -> Shelf:
            live = self._live(name, shelf)
            if live is None:
                raise _unknown(name)
            if version is None:
                return Shelf(count=shelf.count)
            self._numbered(name, shelf, version)
            if live.version == version:
                raise Conflict(f"{name}@{version} is live; roll back or promote another version first")
            kept = tuple(v for v in shelf.versions if v.version != version)
            before = tuple(number for number in shelf.before if number != version)
            return msgspec.structs.replace(shelf, versions=kept, before=before)

        self._change(name, without)

    def _refuse_users(self, name: str, version: int | None) -> None:
        """An adapter is nothing without what it runs on."""
        users = [
            one.reference
            for _, shelf in self._all()
            for one in shelf.versions
            if one.base == name and (version is None or one.parent == f"{name}@{version}")
        ]
        if users:
            what = name if version is None else f"{name}@{version}"
            raise Conflict(f"{', '.join(sorted(users)[:4])} run on {what}; delete them first")

    def _is_first(self, version: ModelVersion, shelf: Shelf) -> bool:
        """Whether nothing answers to its name so far. Not every process knows the configuration; a version that was
        tuned from another one of its own name follows it, though."""
        follows = version.parent is not None and split(version.parent)[0] == version.name
        return not shelf.versions and version.name not in self._configured and not follows

    def _hides(self, version: ModelVersion) -> bool:
        return version.version == 0 and version.name in self._unlisted

    def _live(self, name: str, shelf: Shelf) -> ModelVersion | None:
        there = self._versions(name, shelf)
        promoted = next((version for version in there if version.version == shelf.live), None)
        return promoted or next(iter(there), None)

    def _versions(self, name: str, shelf: Shelf) -> builtins.list[ModelVersion]:
        own = self._configured.get(name)
        return [*(() if own is None else (own,)), *shelf.versions]

    def _numbered(self, name: str, shelf: Shelf, version: int) -> ModelVersion:
        there = self._versions(name, shelf)
        found = next((one for one in there if one.version == version), None)
        if found is None:
            known = ", ".join(str(one.version) for one in there[-8:])
            raise NotFound(f"{name!r} has no version {version}, but {known}", code="model_not_found")
        return found

    def _approved(self, shelf: Shelf, version: int) -> Shelf:
        approved = (
            msgspec.structs.replace(one, approval="approved") if one.version == version else one
            for one in shelf.versions
        )
        return msgspec.structs.replace(shelf, versions=tuple(approved))

    def _same(self, version: ModelVersion, shelf: Shelf) -> ModelVersion | None:
        there = self._versions(version.name, shelf)
        return next((one for one in there if _identity(one) == _identity(version)), None)

    def _change(self, name: str, to: Change) -> Shelf:
        """The shelf after `to`, a function of what it was, applied to its newest record."""
        while True:
            before, number = self._read(name)
            after = to(before)
            if after == before:
                return before
            try:
                self._records.put(COLLECTION, name, msgspec.to_builtins(after), if_version=number)
                return after
            except ConditionFailed:
                continue

    def _read(self, name: str) -> tuple[Shelf, int]:
        record = self._records.get(COLLECTION, name)
        return (_shelf(record), record.version) if record else (Shelf(), 0)

    def _all(self) -> Iterator[tuple[str, Shelf]]:
        after: str | None = None
        while page := self._records.query(COLLECTION, after=after, limit=1000):
            yield from ((record.id, _shelf(record)) for record in page)
            after = page[-1].id


def tuned(base: ModelVersion, suffix: str, job: str, data: str | None, *, adapter: bool = True) -> ModelVersion:
    """What the job is to make of `base`, out of data with that SHA-256; its source is for the job to say."""
    return ModelVersion(
        names.fine_tuned(base.name, suffix, job),
        "",
        base=base.name if adapter else None,
        job=job,
        data=data,
        parent=base.reference,
        parent_source=base.source,
    )


def register_checkpoints(
    registry: ModelRegistry, made: ModelVersion, output: str, told: Iterable[Mapping[str, Any]]
) -> dict[int, ModelVersion]:
    """What the job that is to make `made` kept on its way there, by its events and under its output: each step's is a
    model of its own. Those that were registered before stay as they are."""
    found: dict[int, ModelVersion] = {}
    for step in sorted({line["step"] for line in told if line.get("type") == "kept"}):
        source = f"{output}/{names.kept_adapter(step)}"
        name = names.checkpoint(made.name, step)
        found[step] = registry.register(msgspec.structs.replace(made, name=name, source=source))
    return found


def register_made(registry: ModelRegistry, version: ModelVersion) -> ModelVersion:
    """Registers what a training job made. A whole model that was tuned from another one is the next version of that
    one, too, and waits there for its promotion."""
    made = registry.register(version)
    if made.base is None and made.parent is not None and split(made.parent)[0] != made.name:
        registry.register(msgspec.structs.replace(version, name=split(made.parent)[0]))
    return made


def forget_made(registry: ModelRegistry, name: str) -> None:
    """Takes back what `register_made` did under that name, as far as it isn't live elsewhere by now."""
    made = registry.get(name)
    registry.delete(name)
    if made.base is None and made.parent is not None:
        base = split(made.parent)[0]
        for version in registry.versions(base):
            if version.job == made.job and version != registry.get(base):
                registry.delete(base, version.version)


def split(reference: str) -> tuple[str, int | None]:
    """The name and the number of NAME@VERSION; None for the number of a name alone."""
    match = _REFERENCE.fullmatch(reference)
    return (match["name"], int(match["version"])) if match else (reference, None)


def pick(registry: ModelRegistry, reference: str) -> ModelVersion:
    """The version that NAME@VERSION means; of a name alone, the live one. Raises NotFound."""
    name, number = split(reference)
    if number is None:
        return registry.get(name)
    for version in (there := registry.versions(name)):
        if version.version == number:
            return version
    known = ", ".join(str(version.version) for version in there[-8:])
    raise NotFound(f"{name!r} has no version {number}, but {known}", code="model_not_found", param="model")


def base_of(registry: ModelRegistry, adapter: ModelVersion) -> ModelVersion:
    """What an adapter runs on: the version of its base that it was tuned from; the live one where that isn't known.
    Raises NotFound; Conflict where that version is the configuration's, which names another source by now."""
    assert adapter.base is not None
    if adapter.parent is not None and split(adapter.parent)[0] == adapter.base:
        base = pick(registry, adapter.parent)
        if adapter.parent_source not in (None, base.source):
            raise Conflict(
                f"{adapter.name!r} was tuned from {adapter.parent} when that was {adapter.parent_source}, and it is "
                f"{base.source} now; name the former in stack.toml again, or tune it anew",
                code=MOVED_ON,
            )
        return base
    return registry.get(adapter.base)


def _identity(version: ModelVersion) -> tuple[str | None, ...]:
    return version.source, version.task, version.base, version.job


def _shelf(record: Record) -> Shelf:
    if "source" in record.item:  # a record of the time before there were versions
        only = msgspec.convert(record.item, ModelVersion)
        return Shelf((msgspec.structs.replace(only, version=1, approval="approved"),), count=1)
    return msgspec.convert(record.item, Shelf)


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"The model {name[:200]!r} does not exist; GET /v1/models lists those that do",
        code="model_not_found",
        param="model",
    )
