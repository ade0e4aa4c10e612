"""Which files an answer took something from. Models that cite nothing by themselves are read like this:

A sentence is of the passage that has most of its words, where that is at least half of them and THREE at least, or all
of two, or the whole sentence as it stands, or a run of RUN of its words. Words that several passages have count less.
A file whose name the answer says is cited there. Nothing but a passage that the model was given is ever cited.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...protocol.items import FileCitation, FoundText

SHARE = 0.5
THREE = 3
RUN = 5
SHORTEST = 4
"""Letters of a word that says something about where it is from; digits always do."""
_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?!\s|$)[^.!?\n]*)*[.!?]*")
_WORD = re.compile(r"\w+")


def citations(text: str, passages: Sequence[FoundText]) -> list[FileCitation]:
    """In the order of their places, at most one of a file at each."""
    if not passages:
        return []
    known = [_Known(passage) for passage in passages]
    spread: dict[str, int] = {}
    for one in known:
        for word in one.telling:
            spread[word] = spread.get(word, 0) + 1
    found: dict[tuple[int, str], FileCitation] = {}

    def cite(passage: FoundText, at: int) -> None:
        found.setdefault((at, passage.file_id), FileCitation(passage.file_id, passage.filename, at))

    for match in _SENTENCE.finditer(text):
        if (best := _source(match[0], known, spread)) is not None:
            cite(best, match.start() + len(match[0].rstrip()))
    for passage, end in _said(text, passages):
        cite(passage, end)
    return [found[key] for key in sorted(found)]


def _said(text: str, passages: Sequence[FoundText]) -> list[tuple[FoundText, int]]:
    """Where a passage's file is named, and the end of it. A part of another file's name names none."""
    found: list[tuple[int, int, FoundText]] = []
    for passage in passages:
        name = rf"(?<![\w./-]){re.escape(passage.filename)}(?![\w/-]|\.\w)"
        found += [(*match.span(), passage) for match in re.finditer(name, text)]
    return [
        (passage, end)
        for start, end, passage in found
        if not any(a <= start and end <= b and b - a > end - start for a, b, _ in found)
    ]


class _Known:
    def __init__(self, passage: FoundText) -> None:
        self.passage = passage
        words = _words(passage.text)
        self.telling = _telling(words)
        self.line = f" {' '.join(words)} "


def _source(sentence: str, known: list[_Known], spread: dict[str, int]) -> FoundText | None:
    words = _words(sentence)
    telling = _telling(words)
    best, most = None, 0.0
    for one in known:
        shared = telling & one.telling
        enough = len(shared) >= THREE and len(shared) >= SHARE * len(telling)
        enough = enough or len(shared) == len(telling) == THREE - 1
        if not enough and not (shared and _runs(words, one.line)):
            continue
        weight = sum(1 / spread[word] for word in shared) + 1e-9 * one.passage.score
        if best is None or weight > most:
            best, most = one.passage, weight
    return best


def _runs(words: list[str], line: str) -> bool:
    """Whether the words, or RUN of them in their order, stand in the line."""
    return any(f" {' '.join(words[at : at + RUN])} " in line for at in range(max(len(words) - RUN, 0) + 1))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _telling(words: list[str]) -> set[str]:
    return {word for word in words if len(word) >= SHORTEST or word.isdigit()}
