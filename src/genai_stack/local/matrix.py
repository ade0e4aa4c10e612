"""Rows of float32 in files that only grow, mapped into memory.

A file holds garbage behind the rows that its owner counts: what a crash left of an append that wasn't counted. The next
append goes over it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .files import sync_directory

Floats = npt.NDArray[np.float32]
WIDTH = 4


def unit(data: bytes, dimensions: int) -> Floats:
    """Vectors, each of length 1; one of zeros stays so. Raises ValueError for what isn't finite or whole."""
    rows = np.frombuffer(data, dtype="<f4").reshape(-1, dimensions).astype(np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("a vector isn't finite")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))  # type: ignore[no-any-return]


def append(path: Path, at: int, rows: Floats) -> None:
    """Puts `rows` behind the first `at`, durably; makes the file when there is none."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "r+b", closefd=False) as file:
            file.truncate(at * rows.shape[1] * WIDTH)
            file.seek(0, os.SEEK_END)
            file.write(np.ascontiguousarray(rows, dtype="<f4").data)
            file.flush()
            os.fsync(fd)
    finally:
        os.close(fd)
    if not at:
        sync_directory(path.parent)


def mapped(path: Path, rows: int, dimensions: int) -> Floats:
    """The first `rows`, as they are on the disk; they stay readable when the file is removed."""
    if not rows:
        return np.zeros((0, dimensions), np.float32)
    found: Any = np.memmap(path, dtype="<f4", mode="r", shape=(rows, dimensions))
    return found  # type: ignore[no-any-return]


def compacted(source: Path, target: Path, rows: int, dimensions: int, keep: Iterable[tuple[int, int]]) -> None:
    """Writes the stretches `keep` (first row, rows) of `source` to `target`, durably."""
    old = mapped(source, rows, dimensions)
    with target.open("wb") as file:
        os.chmod(target, 0o600)
        for first, count in keep:
            file.write(np.ascontiguousarray(old[first : first + count]).data)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(target.parent)
