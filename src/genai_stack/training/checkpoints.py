"""Checkpoints: written aside, committed by a manifest, kept few, and found again wherever the run restarts.

A checkpoint is a directory `checkpoints/step-N`. Its manifest.json, which lists every other file with its size and
SHA-256, is written last; without it, or when a file differs from it, the checkpoint doesn't count. Under a run's
prefix in an ObjectStore it looks the same.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import GenAIStackError, InvalidSpec
from . import contents, ranks
from .outputs import MANIFEST, RunLog, listed, write_last
from .place import Place
from .spec import TrainingSpec, plain

FOLDER = "checkpoints"
ASIDE = f"{FOLDER}/.partial"
"""Where the trainer writes; nothing in it counts."""
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """`told` is what the run said of itself when it made this: `tokens` seen and `seconds` trained."""

    path: Path
    step: int
    told: dict[str, Any]


class Checkpoints:
    """Of one run. Every process of the run calls `commit` and `newest` together."""

    def __init__(self, spec: TrainingSpec, place: Place, log: RunLog, *, rows: str) -> None:
        """`rows` is the fingerprint of what the run learns from."""
        self._spec, self._place, self._log, self._rows = spec, place, log, rows
        self._here = place.path / FOLDER
        self.latest: str | None = None
        """The name of the checkpoint committed last, in this attempt."""

    def commit(self, made: Path, step: int, **told: Any) -> None:
        """Makes what the trainer wrote to `made` the checkpoint of `step`, and drops all but it and the one before. A
        step that is committed already stays as it is."""
        if self.latest == f"step-{step}":
            return
        made.mkdir(parents=True, exist_ok=True)
        ranks.wait_for_all()
        target = self._here / f"step-{step}"
        part: list[dict[str, Any]] = []
        if self._moves():
            shutil.rmtree(target, ignore_errors=True)
            made.rename(target)
            part = listed(target, self._place.path)
            for entry in part:
                self._place.put(entry["path"])
        files = [entry for entries in ranks.gathered(part) for entry in entries]
        if self._moves():
            manifest = {"step": step, "files": files, "spec": plain(self._spec), "rows": self._rows, **told}
            write_last(target, manifest, part, self._place.path)
            if ranks.is_first():
                self._place.put(f"{FOLDER}/{target.name}/{MANIFEST}")
                self._log.event("checkpoint", f"{target.name} is committed", checkpoint=target.name)
            self._retire(step)
        self.latest = target.name

    def newest(self) -> Checkpoint | None:
        """The committed checkpoint with the most steps that is whole; a damaged one is passed over with a warning. The
        first process finds it, and all take that one. Raises InvalidSpec when it can't be gone on from."""
        found = None
        if self._moves():
            self._fetch_newer()
            found = self._whole()
        found = ranks.gathered(found)[0]
        if found is None:
            return None
        told = {key: value for key, value in found.items() if key not in ("files", "spec", "rows", "step")}
        path = self._here / f"step-{found['step']}"
        if found["spec"] != plain(self._spec):
            raise InvalidSpec(f"output: {path} was made by another spec; give another directory or remove it")
        if found.get("rows", self._rows) != self._rows:
            raise InvalidSpec(
                f"output: {path} was made from other data; bring that back, or give another directory"
            )
        if self._spec.shard and told.get("world", 1) != ranks.world():
            raise InvalidSpec(
                f"output: {path} was made by {told.get('world', 1)} processes; go on with as many"
            )
        return Checkpoint(path, int(found["step"]), told)

    def _whole(self) -> dict[str, Any] | None:
        for path in _by_step(self._here):
            manifest = _manifest(path)
            fault = MANIFEST if manifest is None else self._fault(path, manifest)
            if fault is None:
                return manifest
            why = f"{path.name} is damaged ({fault}); the one before it is taken"
            self._log.event("checkpoint_damaged", why, level="warn", checkpoint=path.name)
        return None

    def _moves(self) -> bool:
        """Whether this process moves files: one in a shared directory, one on each node beside a store."""
        return ranks.is_first() if self._place.store is None else ranks.is_first_of_node()

    def _fault(self, path: Path, manifest: dict[str, Any]) -> str | None:
        """The first file that isn't as the manifest says, or that torch mustn't open."""
        found = {entry["path"]: entry for entry in listed(path, self._place.path)}
        differing = next((e["path"] for e in manifest["files"] if found.get(e["path"]) != e), None)
        return differing or contents.fault(path)

    def _fetch_newer(self) -> None:
        """Brings the newest whole checkpoint under the prefix here, as far as it isn't here already."""
        names = self._place.names(FOLDER)
        committed = {step for step, _, file in (name.partition("/") for name in names) if file == MANIFEST}
        for step in sorted(committed, key=_step, reverse=True):
            path = self._here / step
            manifest = _manifest(path)
            if manifest is None or self._fault(path, manifest):
                for name in names:
                    if name.startswith(f"{step}/") and name != f"{step}/{MANIFEST}":
                        self._place.fetch(f"{FOLDER}/{name}")
                self._place.fetch(f"{FOLDER}/{step}/{MANIFEST}")
                manifest = _manifest(path)
            if manifest is not None and self._fault(path, manifest) is None:
                return

    def _retire(self, step: int) -> None:
        """Keeps the checkpoint of `step`, whole as it is, and the committed one before it."""
        before = [path for path in _by_step(self._here) if _step(path.name) < step and _manifest(path)]
        kept = {f"step-{step}", *(path.name for path in before[: KEPT - 1])}
        for path in _by_step(self._here):
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
        if ranks.is_first():
            names = self._place.names(FOLDER)
            old = [name for name in names if name.partition("/")[0] not in kept]
            with suppress(GenAIStackError):  # what stays costs room, and is dropped with the next one
                for name in sorted(old, key=lambda name: not name.endswith(f"/{MANIFEST}")):
                    self._place.forget(f"{FOLDER}/{name}")


def _manifest(path: Path) -> dict[str, Any] | None:
    """What the checkpoint says it holds; None when that can't be read."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
        return manifest if {"step", "files", "spec"} <= set(manifest) else None
    except (OSError, ValueError, TypeError):
        return None


def _step(name: str) -> int:
    number = name.removeprefix("step-")
    return int(number) if name.startswith("step-") and number.isdecimal() else -1


def _by_step(folder: Path) -> list[Path]:
    """Newest first."""
    found = [path for path in folder.glob("step-*") if _step(path.name) >= 0]
    return sorted(found, key=lambda path: _step(path.name), reverse=True)
