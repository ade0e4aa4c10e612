"""A batch input file on this machine, checked whole before any line of it runs. What a line is, and what is wrong with
one, `protocol.batch_lines` says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..errors import InvalidData
from ..protocol.batch_lines import MAX_BYTES, Fault, Inspection, examine, numbered

__all__ = ["MAX_BYTES", "Fault", "Inspection", "Line", "inspect", "read", "require"]


class Line(msgspec.Struct, frozen=True):
    """A request: its line's number (1-based), and its body as it stands in the file."""

    number: int
    custom_id: str
    body: bytes


class _Shape(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw


def inspect(path: Path, *, endpoint: str | None = None, model: str | None = None) -> Inspection:
    """Checks every line. Without `endpoint` or `model`, the first good line's count. Raises InvalidData when the file
    can't be read."""
    with _open(path) as file:
        size = file.seek(0, 2)
        file.seek(0)
        return examine(file, size, endpoint=endpoint, model=model)


def require(path: Path, *, endpoint: str | None = None, model: str | None = None) -> Inspection:
    """`inspect`, with InvalidData (the first 20 faults and their line numbers) for a file that can't run."""
    found = inspect(path, endpoint=endpoint, model=model)
    if found.faulty:
        raise InvalidData(f"{path}: {_told(found)}")
    return found


def read(path: Path) -> Iterator[Line]:
    """The requests of a file that `require` has passed."""
    with _open(path) as file:
        for number, line in numbered(file):
            if line is not None and line.strip():
                shape = msgspec.json.decode(line, type=_Shape)
                yield Line(number, shape.custom_id, bytes(shape.body))


def _told(found: Inspection) -> str:
    shown = [f"line {f.line}: {f.message}" if f.line else f.message for f in found.faults]
    if found.faulty == 1 and found.faults[0].line is None:
        return shown[0]
    more = f"\n  and {found.faulty - len(shown)} more" if found.faulty > len(shown) else ""
    return f"{found.faulty} fault{'s'[: found.faulty > 1]}\n  " + "\n  ".join(shown) + more


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidData(f"{path}: {error.strerror}; give the path of a JSONL file") from None
