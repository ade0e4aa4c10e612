"""Numbers between bounds, as a grammar over their digits."""

from __future__ import annotations

from typing import Any

_WHOLE = '("0" | [1-9] [0-9]{0,14})'
_FRACTION = '("." [0-9]{1,15})'
ANY_INTEGER = f'"-"? {_WHOLE}'
ANY = f'"-"? {_WHOLE} {_FRACTION}? ([eE] [+-]? [0-9]{{1,2}})?'
_LARGEST = 10**15 - 1


class CantEnforce(Exception):
    def __init__(self, keyword: str, why: str) -> None:
        super().__init__(why)
        self.keyword = keyword


def bounded(asked: dict[str, Any], *, whole: bool) -> str:
    """A grammar for what `minimum`, `maximum`, their exclusive forms and `multipleOf` leave. Whole bounds only; up
    to 15 digits. Raises CantEnforce."""
    if asked.get("multipleOf", 1) != 1 or (not whole and "multipleOf" in asked):
        raise CantEnforce("multipleOf", "can't be enforced")
    for keyword, value in asked.items():
        if float(value) != int(value) or abs(value) > _LARGEST:
            raise CantEnforce(keyword, "can be enforced with a whole number of up to 15 digits only")
    bounds = {keyword: int(value) for keyword, value in asked.items() if keyword != "multipleOf"}
    if whole:
        low = max(bounds.get("minimum", -_LARGEST), bounds.get("exclusiveMinimum", -_LARGEST - 1) + 1)
        high = min(bounds.get("maximum", _LARGEST), bounds.get("exclusiveMaximum", _LARGEST + 1) - 1)
        if low > high:
            raise CantEnforce(next(reversed(bounds)), "leaves no number")
        return " | ".join(_integers(low, high))
    return _reals(bounds)


def _integers(low: int, high: int) -> list[str]:
    found = []
    if low < 0:
        found += [f'"-" ({body})' for body in _digits(max(1, -high), -low)]
    if high >= 0:
        found += _digits(max(0, low), high)
    return found


def _reals(bounds: dict[str, int]) -> str:
    """Fractions included. A bound that is excluded is so exactly; zero is written without a sign."""
    low = max(bounds.get("minimum", -_LARGEST), bounds.get("exclusiveMinimum", -_LARGEST))
    high = min(bounds.get("maximum", _LARGEST), bounds.get("exclusiveMaximum", _LARGEST))
    low_open = bounds.get("exclusiveMinimum") == low
    high_open = bounds.get("exclusiveMaximum") == high
    if low > high or (low == high and (low_open or high_open)):
        raise CantEnforce(next(reversed(bounds)), "leaves no number")
    found = []
    if low < 0:
        least = max(0, -high)
        found += [
            f'"-" ({b})' for b in _magnitudes(least, -low, high_open and high < 0, low_open, zero=high < 0)
        ]
    if high >= 0:
        found += _magnitudes(max(0, low), high, low_open and low >= 0, high_open, zero=True)
    if not found:
        raise CantEnforce(next(reversed(bounds)), "leaves no number")
    return " | ".join(found)


def _magnitudes(low: int, high: int, low_open: bool, high_open: bool, *, zero: bool) -> list[str]:
    """Numbers from `low` to `high`, both ≥ 0, without a sign."""
    found = []
    above = '("." [0-9]{0,14} [1-9])'
    if low < high:
        if not low_open and (low or zero):
            found += [f'"{low}" {_FRACTION}?']
        else:
            found += [f'"{low}" {above}']
        found += [f"({body}) {_FRACTION}?" for body in (_digits(low + 1, high - 1) if low + 1 < high else [])]
    if not high_open and (high or zero) and not (low == high and low_open):
        found.append(f'"{high}" ("." "0"{{1,15}})?')
    return found


def _digits(low: int, high: int) -> list[str]:
    """Alternatives that together spell each integer from `low` to `high` once, 0 ≤ low ≤ high."""
    found = []
    while low <= high:
        size = len(str(low))
        top = min(high, 10**size - 1)
        found += _same_length(str(low), str(top))
        low = top + 1
    return found


def _same_length(low: str, high: str) -> list[str]:
    if low == high:
        return [f'"{low}"']
    rest = len(low) - 1
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        tail = f" [0-9]{{{rest}}}" if rest else ""
        return [f"[{low[0]}-{high[0]}]{tail}"]
    if low[0] == high[0]:
        return [f'"{low[0]}" ({body})' for body in _same_length(low[1:], high[1:])]
    found = [f'"{low[0]}" ({body})' for body in _same_length(low[1:], "9" * rest)]
    first, last = chr(ord(low[0]) + 1), chr(ord(high[0]) - 1)
    if first <= last:
        found.append(f"[{first}-{last}] [0-9]{{{rest}}}")
    return found + [f'"{high[0]}" ({body})' for body in _same_length("0" * rest, high[1:])]
