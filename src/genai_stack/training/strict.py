"""JSON as training data may spell it: UTF-8, one meaning, no surprise further on.

Beyond what JSON itself refuses: a key twice in one object, NaN and infinities, numbers of over 64 bits, half of a
surrogate pair (no UTF-8 text holds one), and nesting deeper than `DEPTH`.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

DEPTH = 100
"""Objects and lists may stand this deep in one another."""


class Fault(ValueError):
    """Why a line or a row can't be learned from."""


def json_object(line: bytes) -> dict[str, Any]:
    """The object a line spells. Raises Fault."""
    value = json_value(line)
    if not isinstance(value, dict):
        raise Fault("not a JSON object")
    return value


def json_value(line: bytes) -> Any:
    """What a line spells. Raises Fault."""
    if b"\0" in line:
        raise Fault("holds NUL bytes; the file was damaged, or isn't UTF-8 text")
    try:
        text = line.decode()
        value = _DECODER.decode(text)
        if line.count(b"{") + line.count(b"[") > DEPTH and _depth(value, DEPTH + 1) > DEPTH:
            raise Fault(f"nested over {DEPTH} deep")
        if b"\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise Fault(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except UnicodeEncodeError:
        raise Fault("holds half of a surrogate pair, which is no character") from None
    except json.JSONDecodeError as error:
        raise Fault(f"not JSON: {_reason(text, error)}") from None
    except RecursionError:
        raise Fault(f"nested over {DEPTH} deep") from None
    return value


def _reason(text: str, error: json.JSONDecodeError) -> str:
    if text.strip() in ("[", "{"):
        return "one object takes one line here; this one goes on below"
    return f"{error.msg[0].lower()}{error.msg[1:]} at character {error.pos + 1}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Fault(f"the key {twice[:40]!r} stands twice in one object")
    return made


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise Fault(f"the number {digits[:20]}… is over 64 bits")
    return number


def _real(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Fault(f"the number {digits[:20]} is too large")
    return number


def _constant(name: str) -> NoReturn:
    raise Fault(f"not JSON: {name} is no number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_int=_integer, parse_float=_real, parse_constant=_constant
)


def _depth(value: Any, limit: int) -> int:
    """How deep `value` is nested, or `limit` once it is that deep."""
    if limit == 0 or not isinstance(value, dict | list):
        return 0
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(item, limit - 1) for item in inside), default=0)
