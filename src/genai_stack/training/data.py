"""Training data read as a stream: every file checked in constant memory, each fault with its file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import InvalidData
from ..sources.data import data_files
from . import lines, tables
from .examples import Example, Preference, kind, typed
from .strict import Fault

FAULTS_SHOWN = 20


def read(source: str | Path, method: str | None = None) -> Iterator[Example]:
    """The examples of a file, a directory or a remote source (see `sources.data`), in order and in constant memory.

    Faulty lines are left out while the rest is read; then InvalidData lists the first 20 of them, lines and rows
    counted from 1. It is raised at once for a file that isn't readable as a whole or holds no example, and for data
    that the training method `method`, when one is given, can't learn from.
    """
    files = data_files(source)
    faults, admitted = _Faults(source, files), _Admitted(source, method)
    for file in files:
        found = False
        try:
            for number, value in _rows(file):
                found = True
                try:
                    if isinstance(value, Fault):
                        raise value
                    example = typed(value)
                    admitted.check(example)
                except Fault as fault:
                    faults.add(file, number, fault)
                    continue
                yield example
        except OSError as error:
            raise InvalidData(f"{file}: {error.strerror}; give the path of a JSONL or Parquet file") from None
        if not found:
            raise InvalidData(f"{file}: no example in it; each line is one JSON object")
    faults.close()


def check(source: str | Path, method: str | None = None) -> int:
    """How many examples there are, once all are checked. Raises InvalidData as `read` does."""
    return sum(1 for _ in read(source, method))


def _rows(file: Path) -> Iterator[tuple[int, dict[str, object] | Fault]]:
    return tables.rows(file) if file.suffix == ".parquet" else lines.rows(file)


class _Faults:
    """Counts every fault and keeps the words of the first few."""

    def __init__(self, source: str | Path, files: list[Path]) -> None:
        self._source, self._several = source, len(files) > 1
        self._unit = "row" if files[0].suffix == ".parquet" else "line"
        self._count, self._shown = 0, list[str]()

    def add(self, file: Path, number: int, fault: Fault) -> None:
        self._count += 1
        if self._count <= FAULTS_SHOWN:
            where = f"{file.name} " if self._several else ""
            self._shown.append(f"{where}{self._unit} {number}: {fault}")

    def close(self) -> None:
        """Raises InvalidData if there were any."""
        if not self._count:
            return
        left = self._count - len(self._shown)
        more = f"\n  and {left} more" if left else ""
        head = f"{self._source}: {self._count} faulty {self._unit}{'s'[: self._count > 1]}"
        raise InvalidData("\n  ".join((head, *self._shown)) + more)


class _Admitted:
    """Holds a source to one sort of examples: preference pairs, or anything but them."""

    def __init__(self, source: str | Path, method: str | None) -> None:
        self._source, self._method = source, method
        self._first: str | None = None

    def check(self, example: Example) -> None:
        """Raises Fault for an odd one out, InvalidData for what the method doesn't take."""
        what, pairs = kind(example), isinstance(example, Preference)
        if self._first is None:
            self._first = what
            if self._method == "dpo" and not pairs:
                raise InvalidData(
                    f"{self._source}: holds {what}, and method dpo learns from preference pairs ('chosen' and "
                    "'rejected'); use method lora or full"
                )
            if pairs and self._method not in (None, "dpo"):
                raise InvalidData(
                    f"{self._source}: holds preference pairs, which method {self._method} can't learn from; use "
                    "method dpo"
                )
        if pairs != (self._first == "preference pairs"):
            raise Fault(f"{what} among {self._first}; preference pairs are learned in a run of their own")
