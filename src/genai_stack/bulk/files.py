"""A run's own files: lines that survive a kill, and a manifest that is whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

MANIFEST, EVENTS, METRICS = "manifest.json", "events.jsonl", "metrics.jsonl"


class Appended:
    """A file of lines, appended from any thread. What was written survives this process; after `sync`, the machine.
    A line torn by a kill stands alone: the next one starts afresh."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._fd).st_size
        if self.size and os.pread(self._fd, 1, self.size - 1) != b"\n":
            self.write(b"")

    def write(self, line: bytes) -> int:
        """Appends `line` and a newline. Returns where it begins, in bytes."""
        with self._lock:
            start, rest = self.size, memoryview(line + b"\n")
            while rest:
                written = os.write(self._fd, rest)
                self.size += written
                rest = rest[written:]
            return start

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        """Nothing may be written after it; more than once is once."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.fsync(fd)
            os.close(fd)


class RunLog:
    """events.jsonl and metrics.jsonl under `output`. `time` is seconds since the epoch."""

    def __init__(self, output: Path) -> None:
        self._events, self._metrics = Appended(output / EVENTS), Appended(output / METRICS)

    def event(self, type_: str, message: str, *, level: str = "info", **more: Any) -> None:
        _tell(self._events, {"level": level, "type": type_, "message": message, **more})

    def metrics(self, **values: Any) -> None:
        _tell(self._metrics, values)

    def close(self) -> None:
        self._events.close()
        self._metrics.close()


def whole_lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """(offset, line without its newline) of each line from byte `start` on that is whole; a torn last one doesn't
    count."""
    at = start
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield at, line[:-1]
            at += len(line)


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Puts the file there at once, durably."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as out:
        for part in parts:
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_manifest(output: Path, files: Sequence[str], **content: Any) -> None:
    """Lists `files` of `output` with sizes and digests, and commits the run."""
    listed = []
    for name in files:
        with (output / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        listed.append({"path": name, "bytes": (output / name).stat().st_size, "sha256": digest})
    manifest = {"format": 1, **content, "files": listed}
    text = json.dumps(msgspec.to_builtins(manifest), ensure_ascii=False, indent=2) + "\n"
    write_whole(output / MANIFEST, [text.encode()])


def _tell(file: Appended, values: dict[str, Any]) -> None:
    file.write(json.dumps({"time": time.time(), **values}, ensure_ascii=False).encode())
