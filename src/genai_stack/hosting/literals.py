"""JSON values as terminals of a grammar."""

from __future__ import annotations

import json
from typing import Any


def literal(text: str) -> str:
    """`text` as a terminal."""
    return '"' + "".join(_escape(c) for c in text) + '"'


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 32 <= code < 127:
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
