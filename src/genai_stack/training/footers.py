"""What a Parquet file says it holds, weighed before any of it is unpacked, and without the library that unpacks it.

A few kilobytes can declare terabytes, and pages can hold more than the footer admits. So the footer's sizes are held
to the limits below, and each page's header to the footer: pages lie side by side, and neither their bytes nor their
values are more than was declared. Field ids are those of the format's `parquet.thrift`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import InvalidData
from .thrift import Malformed, Struct, struct_at

MAGIC = b"PAR1"
FOOTER_BYTES = 16 << 20
"""The longest footer that is read."""
GROUP_BYTES = 2 << 30
"""What a row group's columns may unpack to."""
GROUP_VALUES = 1 << 26
"""Values that one column of a row group may hold."""
RATIO, RATIO_FREE = 1000, 64 << 20
"""A row group of over `RATIO_FREE` bytes may unpack to no more than `RATIO` times the file's size."""
SCHEMA_DEPTH = 32
_HEADER_BYTES = 16 << 10
"""What of a page's header is read at first; 64 times that, statistics included, is the limit."""


@dataclass(frozen=True)
class Chunk:
    """One column of one row group. Sizes are bytes; pages lie in [start, start + packed)."""

    column: str
    values: int
    unpacked: int
    packed: int
    start: int


@dataclass(frozen=True)
class Group:
    rows: int
    chunks: tuple[Chunk, ...]


def weigh(path: Path, columns: tuple[str, ...]) -> list[Group]:
    """The file's row groups with those chunks that belong to `columns`. Raises InvalidData for a file that is damaged
    or declares more than the limits, OSError for one that can't be read."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        footer = _footer(path, stream, size)
        try:
            _check_schema(footer[2])
            groups = [_group(item, columns) for item in footer[4]]
            for index, group in enumerate(groups):
                _check_sizes(f"{path}: row group {index + 1}", group, size)
                for chunk in group.chunks if group.rows else ():
                    _check_pages(stream, chunk)
        except (Malformed, LookupError, TypeError, AttributeError, UnicodeDecodeError) as error:
            why = str(error) if isinstance(error, Malformed) else "its footer lacks what every footer has"
            raise InvalidData(f"{path}: isn't a whole Parquet file: {why}; write or fetch it again") from None
    return groups


def _footer(path: Path, stream: BinaryIO, size: int) -> Struct:
    """A file begins and ends with PAR1; the length of its footer stands before the last four bytes."""
    head = stream.read(4)
    stream.seek(max(size - 8, 0))
    tail = stream.read(8)
    if size < 12 or head != MAGIC or tail[4:] != MAGIC:
        raise InvalidData(f"{path}: isn't a whole Parquet file; write or fetch it again")
    (length,) = struct.unpack("<I", tail[:4])
    if length > size - 12:
        raise InvalidData(
            f"{path}: declares a footer of {length} bytes and has {size}; write or fetch it again"
        )
    if length > FOOTER_BYTES:
        raise InvalidData(f"{path}: its footer is over {FOOTER_BYTES} bytes; write it with fewer row groups")
    stream.seek(size - 8 - length)
    try:
        return struct_at(stream.read(length))[0]
    except Malformed as error:
        raise InvalidData(
            f"{path}: isn't a whole Parquet file: its footer is damaged: {error}; write or fetch it again"
        ) from None


def _check_schema(elements: list[Struct]) -> None:
    """Elements stand in the order of a walk through the tree; each says how many children follow."""
    open_: list[int] = []
    for element in elements:
        while open_ and not open_[-1]:
            open_.pop()
        if open_:
            open_[-1] -= 1
        open_.append(_number(element.get(5, 0)))
        if len(open_) > SCHEMA_DEPTH:
            raise Malformed(f"its schema is nested over {SCHEMA_DEPTH} deep")
    if any(open_) or not elements:
        raise Malformed("its schema is damaged")


def _group(item: Struct, columns: tuple[str, ...]) -> Group:
    chunks = tuple(chunk for column in item[1] if (chunk := _chunk(column[3])).column in columns)
    if _number(item[3]) and not all(chunk.values for chunk in chunks):
        raise Malformed("it has rows without values")
    return Group(item[3], chunks)


def _chunk(about: Struct) -> Chunk:
    values, unpacked, packed, start = (_number(about[field]) for field in (5, 6, 7, 9))
    if about.get(11):
        start = min(start, _number(about[11]))
    return Chunk(about[3][0].decode(), values, unpacked, packed, start)


def _number(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise Malformed("it declares a size that is no size")
    return value


def _check_sizes(where: str, group: Group, size: int) -> None:
    unpacked = sum(chunk.unpacked for chunk in group.chunks)
    values = max((chunk.values for chunk in group.chunks), default=0)
    if any(chunk.start + chunk.packed > size for chunk in group.chunks):
        raise InvalidData(f"{where} declares pages beyond the file's {size} bytes; write or fetch it again")
    if unpacked > GROUP_BYTES or values > GROUP_VALUES:
        raise InvalidData(
            f"{where} declares {unpacked} bytes in {values} values, over the limit of {GROUP_BYTES} in "
            f"{GROUP_VALUES}; write it with smaller row groups"
        )
    if unpacked > max(RATIO_FREE, RATIO * size):
        raise InvalidData(
            f"{where} declares {unpacked} bytes, over {RATIO} times the file's {size}; not unpacked"
        )


def _check_pages(stream: BinaryIO, chunk: Chunk) -> None:
    unpacked = values = 0
    for header in _pages(stream, chunk):
        unpacked += _number(header[2])
        about: Any = header.get(5) or header.get(8)
        values += _number(about[1]) if about else 0
        if unpacked > chunk.unpacked or values > chunk.values:
            raise Malformed(f"the pages of {chunk.column!r} hold more than its footer declares")
    if values != chunk.values:
        raise Malformed(
            f"the pages of {chunk.column!r} hold {values} values, and its footer says {chunk.values}"
        )


def _pages(stream: BinaryIO, chunk: Chunk) -> Iterator[Struct]:
    """Each page's header."""
    at, end = chunk.start, chunk.start + chunk.packed
    while at < end:
        room = _HEADER_BYTES
        while True:
            stream.seek(at)
            try:
                header, length = struct_at(stream.read(min(room, end - at)))
                break
            except Malformed:
                if room >= min(end - at, 64 * _HEADER_BYTES):
                    raise
                room *= 8
        at += length + _number(header[3])
        if at > end:
            raise Malformed(f"a page of {chunk.column!r} reaches beyond its column")
        yield header
