"""A text in parts, cut where its sentences end if it can be."""

from __future__ import annotations

import re
from collections.abc import Iterator

_ENDS = ("\n\n", "\n", ". ", "! ", "? ", "。", "; ", ", ", " ")
"""Where to cut, best first."""
_AFTER = "\"'”’)\\]"
_SENTENCE = re.compile(rf"(?:[^.!?。\n]|[.!?](?![\s{_AFTER}]|$))*(?:[.!?。]+[{_AFTER}]*|\n+|$)")
"""A sign that more text follows at once, as in 4.50, ends none."""


def cut(text: str, parts: int) -> list[str]:
    """`parts` parts of about the same length, fewer where the text has not so many characters. Joined they are the
    text."""
    found, rest = [], text
    for left in range(parts, 1, -1):
        if len(rest) < 2:
            break
        size = max(len(rest) // left, 1)
        place = _place(rest, size)
        found.append(rest[:place])
        rest = rest[place:]
    return [*found, rest] if rest or not found else found


def spans(text: str, size: int) -> Iterator[tuple[int, int]]:
    """[start, end) of stretches of at most `size` characters, in order and without gaps."""
    at = 0
    while at < len(text):
        end = len(text)
        if end - at > size:
            end = at + _last(text[at : at + size])
        yield at, end
        at = end


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence or line, without the space around it."""
    for match in _SENTENCE.finditer(text):
        piece = match[0]
        if words := piece.strip():
            start = match.start() + piece.index(words)
            yield start, start + len(words)


def _place(text: str, size: int) -> int:
    """Where to cut near `size`, between 1 and the length less 1."""
    low, high = max(size // 2, 1), min(size + size // 2, len(text) - 1)
    for end in _ENDS:
        around = [text.rfind(end, low, size + len(end)), text.find(end, size, high)]
        places = [at + len(end) for at in around if at >= 0 and at + len(end) < len(text)]
        if places:
            return min(places, key=lambda at: abs(at - size))
    return max(size, 1)


def _last(text: str) -> int:
    for end in _ENDS:
        at = text.rfind(end, len(text) // 2)
        if at >= 0:
            return at + len(end)
    return len(text)
