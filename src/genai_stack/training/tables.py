"""Parquet files as numbered rows, in batches. `footers` weighs what a file holds before any page is unpacked.

A table has no absent keys: inside a turn, a call or a tool, a null is taken for a key that isn't there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InvalidData
from . import footers
from .examples import COLUMNS
from .footers import SCHEMA_DEPTH, Group, weigh
from .lines import LINE_BYTES
from .strict import DEPTH, Fault

BATCH = 64
"""Rows that are unpacked at a time, at most."""


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | Fault]]:
    """The rows of a Parquet file with their numbers (1-based), a Fault in place of each that can't be read. Only the
    columns of `examples.COLUMNS` are; nulls among them are left out.

    Raises InvalidData for a file that is damaged, holds more than the limits of `footers`, or has none of the
    columns; OSError for one that can't be read.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidData(f"{path}: Parquet takes pyarrow; run: pip install 'genai-stack[train]'") from None
    groups = weigh(path, COLUMNS)
    try:
        with parquet.ParquetFile(path, schema_depth_limit=SCHEMA_DEPTH, pre_buffer=False) as file:
            columns = _columns(path, file.schema_arrow)
            number = 0
            for index, group in enumerate(groups):
                if not group.rows:
                    continue
                size = _batch_size(group)
                for batch in file.iter_batches(size, row_groups=[index], columns=columns, use_threads=False):
                    for row in range(batch.num_rows):
                        number += 1
                        yield number, _row(batch, row)
    except arrow.ArrowMemoryError:
        raise InvalidData(f"{path}: is too large to unpack; write it with smaller row groups") from None
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        first = str(error).strip().partition("\n")[0][:300]
        raise InvalidData(f"{path}: isn't a whole Parquet file: {first}; write or fetch it again") from None


def _columns(path: Path, schema: Any) -> list[str]:
    columns = [name for name in COLUMNS if name in schema.names]
    if not columns or columns == ["tools"]:
        there = ", ".join(schema.names[:12])[:200]
        raise InvalidData(
            f"{path}: has none of the columns {', '.join(COLUMNS)}; it has {there or 'no columns'}"
        )
    twice = next((name for name in columns if schema.names.count(name) > 1), None)
    if twice:
        raise InvalidData(f"{path}: has two columns named {twice!r}; leave one")
    return columns


def _batch_size(group: Group) -> int:
    """Rows so few that a batch stays in bounds even if each of them repeats the longest value there can be: a value
    that a dictionary holds once costs the file next to nothing to repeat."""
    longest = max((chunk.unpacked for chunk in group.chunks), default=1)
    return max(1, min(BATCH, footers.GROUP_BYTES // 2 // max(longest, 1)))


def _row(batch: Any, index: int) -> dict[str, Any] | Fault:
    try:
        row: dict[str, Any] = {}
        room = LINE_BYTES
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            one = column.slice(index, 1)
            room -= one.nbytes
            if room < 0:
                raise Fault(f"longer than {LINE_BYTES} bytes")
            value = _plain(one[0].as_py(), DEPTH)
            if value is not None:
                row[name] = value
        return row
    except Fault as fault:
        return fault
    except UnicodeDecodeError as error:
        return Fault(f"not UTF-8: {error.reason} at byte {error.start}")
    except (ValueError, TypeError, OverflowError) as error:  # a type that Python has no value for
        return Fault(f"can't be read: {str(error).strip().partition(chr(10))[0][:200]}")


def _plain(value: Any, depth: int) -> Any:
    """`value` as JSON would have it, without keys whose value is null (but for a turn's `content`)."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if not depth:
        raise Fault(f"nested over {DEPTH} deep")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Fault(f"not JSON: {value} is no number")
        return value
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value]
    if isinstance(value, dict):
        plain = {key: _plain(item, depth - 1) for key, item in value.items()}
        return {key: item for key, item in plain.items() if item is not None or key == "content"}
    raise Fault(f"holds a {type(value).__name__}, which JSON has no form for")
