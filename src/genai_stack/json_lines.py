"""JSON lines as a job writes them while others read along."""

from __future__ import annotations

from typing import Any

import msgspec


def parse(data: bytes, after: int = 0) -> list[dict[str, Any]]:
    """The objects in `data` from index `after` on. A line that is torn (the writer is still at it, or was killed
    there) or that is no object doesn't count."""
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
