"""What of a batch is finished: append-only part files, and from them the two output files in the order of the input.

`parts/<n>.jsonl` holds `{"line", "entry"}` in the order in which requests ended. Each run of the program begins a part
of its own, and a part that has grown large is followed by the next. Of two entries of one line the first counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..errors import InvalidSpec
from .entries import Entry, Usage, usage
from .files import Appended, whole_lines, write_whole

PARTS, HEADER = "parts", "batch.json"
OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"
PART_BYTES = 8 * 1024 * 1024


class Counts(msgspec.Struct, frozen=True):
    """OpenAI's request counts."""

    total: int
    completed: int
    failed: int

    @property
    def left(self) -> int:
        return self.total - self.completed - self.failed


class _Finished(msgspec.Struct):
    line: int
    entry: Entry


class _Place(msgspec.Struct):
    """Where a line's record lies, and in which of the two files it will."""

    part: Path
    offset: int
    succeeded: bool


class Ledger:
    """Opens what earlier runs finished. `about` tells one batch from another: InvalidSpec when `output` has the parts
    of another one."""

    def __init__(self, output: Path, total: int, about: dict[str, Any]) -> None:
        self._output, self._parts, self._total = output, output / PARTS, total
        self._parts.mkdir(parents=True, exist_ok=True)
        self._finished: dict[int, _Place] = {}
        self._succeeded = 0
        self.usage = Usage()
        self._check(about)
        paths = sorted(self._parts.glob("*.jsonl"))
        for path in paths:
            self._load(path)
        self._number = int(paths[-1].stem) if paths else 0
        self._part, self._path = self._begin()

    def done(self, line: int) -> bool:
        return line in self._finished

    @property
    def counts(self) -> Counts:
        return Counts(self._total, self._succeeded, len(self._finished) - self._succeeded)

    def record(self, line: int, entry: Entry) -> None:
        """Keeps it; a line that is finished already stays as it is."""
        if line in self._finished:
            return
        if self._part.size > PART_BYTES:
            self._part.close()
            self._part, self._path = self._begin()
        offset = self._part.write(msgspec.json.encode(_Finished(line, entry)))
        self._count(line, entry, _Place(self._path, offset, entry.succeeded))

    def sync(self) -> None:
        """What is recorded survives the machine from here on."""
        self._part.sync()

    def close(self) -> None:
        self._part.close()

    def write_outputs(self) -> None:
        """output.jsonl and errors.jsonl, both in the input's order, from all parts."""
        self._part.sync()
        for name, succeeded in ((OUTPUT, True), (ERRORS, False)):
            write_whole(self._output / name, self._entries(succeeded))

    def remove_parts(self) -> None:
        """Once the manifest is there; a kill in the middle leaves no more than litter."""
        self.close()
        shutil.rmtree(self._parts, ignore_errors=True)

    def _begin(self) -> tuple[Appended, Path]:
        self._number += 1
        path = self._parts / f"{self._number:05}.jsonl"
        return Appended(path), path

    def _check(self, about: dict[str, Any]) -> None:
        header = self._parts / HEADER
        if not header.exists():
            if any(self._parts.glob("*.jsonl")):
                raise InvalidSpec(
                    f"output: {self._output} holds parts of no known batch; give another directory"
                )
            write_whole(header, [msgspec.json.encode(about)])
        elif msgspec.json.decode(header.read_bytes()) != msgspec.to_builtins(about):
            raise InvalidSpec(f"output: {self._output} holds a part of another batch; give another directory")

    def _load(self, path: Path) -> None:
        for offset, line in whole_lines(path):
            try:
                finished = msgspec.json.decode(line, type=_Finished)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn by a kill, and followed by whole ones
            if finished.line not in self._finished:
                place = _Place(path, offset, finished.entry.succeeded)
                self._count(finished.line, finished.entry, place)

    def _count(self, line: int, entry: Entry, place: _Place) -> None:
        self._finished[line] = place
        self._succeeded += place.succeeded
        self.usage = self.usage.plus(usage(entry))

    def _entries(self, succeeded: bool) -> Iterator[bytes]:
        opened: dict[Path, Any] = {}
        try:
            for _, place in sorted(self._finished.items()):
                if place.succeeded == succeeded:
                    file = opened.get(place.part) or opened.setdefault(place.part, place.part.open("rb"))
                    file.seek(place.offset)
                    yield (
                        msgspec.json.encode(msgspec.json.decode(file.readline(), type=_Finished).entry) + b"\n"
                    )
        finally:
            for file in opened.values():
                file.close()
