"""A run's directory: events.jsonl and metrics.jsonl grow while it runs, manifest.json is written last.

manifest.json exists exactly when the run is complete, and lists every file of the result with its digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

from .place import Place
from .spec import TrainingSpec, plain

MANIFEST = "manifest.json"


class RunLog:
    """Appends JSON lines under `output`, flushed one by one. `time` is seconds since the epoch. With `quiet`, as in all
    processes of a run but the first, nothing is written."""

    def __init__(self, output: Path, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._listeners: list[Callable[[dict[str, Any]], None]] = []
        if not quiet:
            output.mkdir(parents=True, exist_ok=True)
            self._events = (output / "events.jsonl").open("a", encoding="utf-8")
            self._metrics = (output / "metrics.jsonl").open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def event(self, type_: str, message: str, *, level: str = "info", **more: Any) -> None:
        if not self._quiet:
            _append(
                self._events, {"time": time.time(), "level": level, "type": type_, "message": message, **more}
            )

    def metrics(self, **values: Any) -> None:
        if not self._quiet:
            _append(self._metrics, {"time": time.time(), **values})
            for listener in self._listeners:
                listener(values)

    def also(self, listener: Callable[[dict[str, Any]], None]) -> None:
        """Tells `listener` every line of metrics from now on."""
        self._listeners.append(listener)

    def close(self) -> None:
        if not self._quiet:
            self._events.close()
            self._metrics.close()


def _append(stream: Any, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value, ensure_ascii=False) + "\n")
    stream.flush()


def listed(folder: Path, root: Path) -> list[dict[str, Any]]:
    """Every file under `folder` but its manifest, or `folder` itself where it is a file: `{"path" (relative to root),
    "bytes", "sha256"}`, in path order."""
    return [
        {"path": path.relative_to(root).as_posix(), "bytes": path.stat().st_size, "sha256": digest(path)}
        for path in ([folder] if folder.is_file() else sorted(folder.rglob("*")))
        if path.is_file() and path != folder / MANIFEST
    ]


def write_last(folder: Path, manifest: dict[str, Any], files: list[dict[str, Any]], root: Path) -> None:
    """Commits `folder` by its manifest.json, once every one of `files` (under `root`) is on the disk."""
    for entry in files:
        _sync(root / str(entry["path"]))
    partial = folder / f".{MANIFEST}.partial"
    with partial.open("w", encoding="utf-8") as out:
        json.dump(manifest, out, ensure_ascii=False, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    partial.replace(folder / MANIFEST)
    _sync(folder)


def commit(place: Place, spec: TrainingSpec, kinds: Sequence[str], result: dict[str, Any]) -> None:
    """Lists the results in the folders and files `kinds` ("adapter" or "model" first: what the run is of), puts them,
    and commits the run by its manifest."""
    files = [entry for kind in kinds for entry in listed(place.path / kind, place.path)]
    manifest = {
        "format": 1, "name": spec.name, "method": spec.method, "base": spec.base, "kind": kinds[0], "files": files,
        "spec": plain(spec), "result": result,
    }  # fmt: skip
    for entry in files:
        place.put(entry["path"])
    write_last(place.path, manifest, files, place.path)
    place.put(MANIFEST)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
