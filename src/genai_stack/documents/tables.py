"""Data as text: what a passage of it says should be readable without the rest, so each value stands with its name."""

from __future__ import annotations

import csv as csv_of
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from ..errors import InvalidDocument
from . import plain

CELL = 1_000_000
"""Characters of one cell."""


def csv(content: BinaryIO) -> str:
    return _table(content, ",;\t|")


def tsv(content: BinaryIO) -> str:
    return _table(content, "\t")


def json(content: BinaryIO) -> str:
    """The value's leaves, a line for each."""
    return "\n".join(_leaves(_decoded(plain.text(content).encode(), "The file")))


def json_lines(content: BinaryIO) -> str:
    """A paragraph for each line's value."""
    texts = []
    for number, line in enumerate(plain.text(content).encode().split(b"\n"), 1):
        if line.strip():
            texts.append("\n".join(_leaves(_decoded(line, f"Line {number}"))))
    return "\n\n".join(texts)


def _table(content: BinaryIO, delimiters: str) -> str:
    """A paragraph for each row: `name: value` lines. The first row has the names."""
    text = plain.text(content)
    csv_of.field_size_limit(CELL)
    try:
        first = text.split("\n", 1)[0]
        delimiter = max(delimiters, key=first.count)
        rows = csv_of.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        names = next(rows, [])
        if not (found := ["\n".join(_cells(names, row)) for row in rows if any(row)]):
            return "\n".join(names)
        return "\n\n".join(found)
    except csv_of.Error as error:
        raise InvalidDocument(f"The table can't be read: {error}; correct it.", code="invalid_file") from None


def _cells(names: list[str], row: list[str]) -> Iterator[str]:
    for place, value in enumerate(row):
        if value:
            yield f"{names[place]}: {value}" if place < len(names) and names[place] else value


def _decoded(data: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidDocument(f"{what} isn't JSON: {error}; correct it.", code="invalid_file") from None


def _leaves(value: Any) -> Iterator[str]:
    """`path: leaf` in the order they stand in; without recursion, however deep it goes."""
    rest: list[tuple[str, Any]] = [("", value)]
    while rest:
        path, node = rest.pop()
        if isinstance(node, dict):
            rest += [(f"{path}.{key}" if path else str(key), inner) for key, inner in reversed(node.items())]
        elif isinstance(node, list):
            rest += [(path, inner) for inner in reversed(node)]
        elif node is not None:
            yield f"{path}: {node}" if path else str(node)
