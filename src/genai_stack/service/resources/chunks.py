"""A text in passages of so many tokens, which overlap; and each passage in stretches that a model can embed."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ...ports import Passage
from ...protocol.stores import StaticChunking

_TOKEN = re.compile(r"[A-Za-z]{1,4}|[^\sA-Za-z]")
PIECE = 4000
"""Characters that are turned into tokens at once."""


class Tokens(NamedTuple):
    """Which characters of a text each token begins and ends at, in their order."""

    starts: array[int]
    ends: array[int]


class Chunk(NamedTuple):
    """`stretches` are the texts that stand for the passage, one or more."""

    passage: Passage
    stretches: list[str]


def guessed(text: str) -> Tokens:
    """Tokens where nobody counts them: four letters, or any other character. A tokenizer makes fewer of most texts."""
    found = [match.span() for match in _TOKEN.finditer(text)]
    return Tokens(array("I", [start for start, _ in found]), array("I", [end for _, end in found]))


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """The text in parts, each with where it begins, cut between words where there are any."""
    at = 0
    while at < len(text):
        end = at + PIECE
        if end < len(text):
            cut = max(text.rfind(space, at + PIECE // 2, end) for space in (" ", "\n"))
            end = cut if cut > at else end
        yield at, text[at:end]
        at = end


def chunks(text: str, tokens: Tokens, chunking: StaticChunking, window: int) -> Iterator[Chunk]:
    """Passages that begin and end with words and leave nothing of the text out. `window` is the tokens that the model
    reads at once: a passage with more of them is embedded in even stretches."""
    size, overlap = chunking.max_chunk_size_tokens, chunking.chunk_overlap_tokens
    count, at = len(tokens.starts), 0
    while at < count:
        last = at + size
        last = count if last >= count else _word(text, tokens, last, at + size - size // 8)
        begin, end = tokens.starts[at] if at else 0, tokens.starts[last] if last < count else len(text)
        parts = -(-(last - at) // window)
        marks = [begin]
        for part in range(1, parts):
            place = at + (last - at) * part // parts
            marks.append(tokens.starts[_word(text, tokens, place, place - 8)])
        marks.append(end)
        stretches = [text[a:b].strip() for a, b in pairwise(marks)]
        passage = Passage(begin, end, text[begin:end])
        yield Chunk(passage, [stretch for stretch in stretches if stretch] or [passage.text or " "])
        if last == count:
            return
        back = max(last - overlap, at + 1)
        at = _word(text, tokens, back, max(back - size // 8, at + 1))


def _word(text: str, tokens: Tokens, place: int, least: int) -> int:
    """The token nearest before `place` that begins a word, none before `least`; `place` where there is none."""
    for candidate in range(place, least - 1, -1):
        start = tokens.starts[candidate]
        if start and (text[start].isspace() or text[start - 1].isspace()):
            return candidate
    return place
