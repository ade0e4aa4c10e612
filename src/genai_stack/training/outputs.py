"""A run's directory: events.jsonl and metrics.jsonl grow while it runs, manifest.json is written last.

manifest.json exists exactly when the run is complete, and lists every file of the result with its digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from .spec import TrainingSpec

MANIFEST = "manifest.json"


class RunLog:
    """Appends JSON lines under `output`, flushed one by one. `time` is seconds since the epoch."""

    def __init__(self, output: Path) -> None:
        output.mkdir(parents=True, exist_ok=True)
        self._events = (output / "events.jsonl").open("a", encoding="utf-8")
        self._metrics = (output / "metrics.jsonl").open("a", encoding="utf-8")

    def event(self, type_: str, message: str, *, level: str = "info", **more: Any) -> None:
        _append(self._events, {"time": time.time(), "level": level, "type": type_, "message": message, **more})

    def metrics(self, **values: Any) -> None:
        _append(self._metrics, {"time": time.time(), **values})

    def close(self) -> None:
        self._events.close()
        self._metrics.close()


def _append(stream: Any, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value, ensure_ascii=False) + "\n")
    stream.flush()


def write_manifest(output: Path, spec: TrainingSpec, kind: str, result: dict[str, Any]) -> None:
    """Lists what lies under `output/adapter` or `output/model` (`kind`), and commits the run."""
    import msgspec

    files = [
        {"path": path.relative_to(output).as_posix(), "bytes": path.stat().st_size, "sha256": digest(path)}
        for path in sorted((output / kind).rglob("*"))
        if path.is_file()
    ]
    manifest = {
        "format": 1, "name": spec.name, "method": spec.method, "base": spec.base, "kind": kind, "files": files,
        "spec": msgspec.to_builtins(spec), "result": result,
    }  # fmt: skip
    for entry in files:
        _sync(output / str(entry["path"]))
    partial = output / f".{MANIFEST}.partial"
    with partial.open("w", encoding="utf-8") as out:
        json.dump(manifest, out, ensure_ascii=False, indent=2)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    partial.replace(output / MANIFEST)
    _sync(output)


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
