"""Reading JSON lines while another process writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


def read_lines(path: Path, after: int = 0) -> list[dict[str, Any]]:
    """The objects in `path` from index `after` on; none when there is no file. A line that is torn (the writer is
    still at it, or was killed there) doesn't count."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = []
    for line in data.splitlines(keepends=True):
        if line.endswith(b"\n") and (value := _object(line)) is not None:
            found.append(value)
    return found[after:]


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return value if isinstance(value, dict) else None
