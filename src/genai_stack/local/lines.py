"""Reading JSON lines while another process writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genai_stack import json_lines


def read_lines(path: Path, after: int = 0) -> list[dict[str, Any]]:
    """The objects in `path` from index `after` on; none when there is no file. A line that is torn (the writer is
    still at it, or was killed there) doesn't count."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return json_lines.parse(data, after)
