"""Strings of a given pattern or format, as a grammar for what stands between the quotes of a JSON string."""

from __future__ import annotations

import re
import warnings
from typing import Any

Ranges = list[tuple[int, int]]
_PLAIN: Ranges = [
    (0x20, 0x21),
    (0x23, 0x5B),
    (0x5D, 0x7E),
    (0xA0, 0xD7FF),
    (0xE000, 0xFFFD),
    (0x10000, 0x10FFFF),
]
"""Code points that stand for themselves in a JSON string. They are listed rather than excluded, because the engine
takes an excluding class for any bytes at all, valid UTF-8 or not."""
_MOST = 256
_FORMATS = {
    "date": r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$",
    "time": r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
    "uuid": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "email": r"^[a-z0-9]{1,16}([._+-][a-z0-9]{1,16}){0,2}@[a-z0-9]{1,16}([.-][a-z0-9]{1,16}){0,2}\.[a-z]{2,8}$",
    "hostname": r"^[a-z0-9]{1,16}([.-][a-z0-9]{1,16}){0,3}$",
    "ipv4": "^" + r"\.".join([r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])"] * 4) + "$",
    "duration": r"^P([1-9][0-9]{0,3}D|T[1-9][0-9]{0,3}[HMS]|[1-9][0-9]{0,3}[WMY])$",
}
_FORMATS["date-time"] = _FORMATS["date"][:-1] + "T" + _FORMATS["time"][1:]
_CLASSES: dict[str, Ranges] = {
    "CATEGORY_DIGIT": [(48, 57)],
    "CATEGORY_WORD": [(48, 57), (65, 90), (95, 95), (97, 122)],
    "CATEGORY_SPACE": [(32, 32)],
}


class CantEnforce(Exception):
    pass


def character_class(ranges: Ranges) -> str:
    """Inclusive ranges of code points as a class of the grammar."""
    return (
        "["
        + "".join(_point(low) if low == high else f"{_point(low)}-{_point(high)}" for low, high in ranges)
        + "]"
    )


def _point(code: int) -> str:
    character = chr(code)
    if character in "\\]^-[":
        return "\\" + character
    return character if 32 <= code < 127 else f"\\U{code:08x}"


CHARACTER = character_class(_PLAIN)
"""A character that stands for itself in a JSON string."""


def from_format(name: str) -> str:
    """A grammar whose strings are all of that format, though not every such string. Raises CantEnforce."""
    if name not in _FORMATS:
        raise CantEnforce(f"{name!r} can't be enforced; these can: {', '.join(sorted(_FORMATS))}")
    return from_regex(_FORMATS[name])


def from_regex(pattern: str) -> str:
    """Raises CantEnforce: look-around, back-references, boundaries, flags, repetitions over 256."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = re._parser.parse(pattern)  # type: ignore[attr-defined]
        except (re.error, RecursionError, OverflowError) as error:
            raise CantEnforce(f"{pattern!r} isn't understood ({error})") from None
    if tree.state.flags & ~re.UNICODE:
        raise CantEnforce(f"{pattern!r} sets flags, which can't be enforced")
    parsed = list(tree)
    anchored = [False, False]
    if parsed and _is_anchor(parsed[0], "AT_BEGINNING"):
        anchored[0], parsed = True, parsed[1:]
    if parsed and _is_anchor(parsed[-1], "AT_END"):
        anchored[1], parsed = True, parsed[:-1]
    body = _sequence(parsed, pattern)
    return f"{'' if anchored[0] else 'char* '}{body}{'' if anchored[1] else ' char*'}"


def _is_anchor(node: Any, name: str) -> bool:
    return str(node[0]) == "AT" and str(node[1]) == name


def _sequence(nodes: Any, pattern: str) -> str:
    return " ".join(_node(str(kind), value, pattern) for kind, value in nodes) or '""'


def _node(kind: str, value: Any, pattern: str) -> str:
    if kind == "LITERAL":
        return _quoted(value, pattern)
    if kind == "ANY":
        return CHARACTER
    if kind == "NOT_LITERAL":
        return _class([("LITERAL", value)], True, pattern)
    if kind == "IN":
        negated = str(value[0][0]) == "NEGATE"
        return _class(value[1:] if negated else value, negated, pattern)
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, most, inner = value
        body = f"({_sequence(inner, pattern)})"
        if len(inner) == 1 and str(inner[0][0]) in ("IN", "ANY", "NOT_LITERAL"):
            body = _sequence(inner, pattern)
        unbounded = str(most) == "MAXREPEAT"
        if least > _MOST or (not unbounded and most > _MOST):
            raise CantEnforce(f"{pattern!r} repeats more than {_MOST} times, which can't be enforced")
        if unbounded:
            return f"{body}{{{least}}} {body}*" if least > 1 else f"{body}+" if least else f"{body}*"
        return f"{body}{{{least},{most}}}"
    if kind == "SUBPATTERN":
        if value[1] or value[2]:
            raise CantEnforce(f"{pattern!r} sets flags, which can't be enforced")
        return f"({_sequence(value[3], pattern)})"
    if kind == "BRANCH":
        return "(" + " | ".join(_sequence(branch, pattern) for branch in value[1]) + ")"
    raise CantEnforce(f"{pattern!r} can't be enforced ({kind.lower().replace('_', ' ')})")


def _class(items: Any, negated: bool, pattern: str) -> str:
    ranges: Ranges = []
    for kind, value in items:
        name = str(kind)
        if name == "LITERAL":
            ranges.append((value, value))
        elif name == "RANGE":
            ranges.append(value)
        elif name == "CATEGORY" and str(value) in _CLASSES:
            ranges += _CLASSES[str(value)]
        else:
            raise CantEnforce(f"{pattern!r} can't be enforced ({name.lower()} in a class)")
    if negated:
        return character_class(_without(_PLAIN, sorted(ranges)))
    if any(_without([one], _PLAIN) for one in ranges):
        raise CantEnforce(f"{pattern!r} has a class with a character that JSON escapes")
    return character_class(ranges)


def _without(ranges: Ranges, taken: Ranges) -> Ranges:
    """What of `ranges` lies in none of `taken`; both in order."""
    left = []
    for low, high in ranges:
        for first, last in taken:
            if first <= high and last >= low:
                if first > low:
                    left.append((low, first - 1))
                low = max(low, last + 1)
        if low <= high:
            left.append((low, high))
    return left


def _quoted(code: int, pattern: str) -> str:
    character = chr(code)
    if code < 32:
        raise CantEnforce(f"{pattern!r} has a control character")
    if character == '"':
        return r'"\\\""'
    if character == "\\":
        return r'"\\\\"'
    return f'"{character}"' if code < 127 else f'"\\U{code:08x}"'
