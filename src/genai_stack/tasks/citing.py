"""Where the sources say what an answer says. A citation is a sentence of theirs, cut out by its place and never written
by a model: it stands in the source as it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..protocol.task_replies import Citation
from .cutting import sentences
from .sources import Chunk, rarity, words

MOST = 3
ALMOST = 0.75
"""Of the best sentence's score that another one needs to be cited beside it."""
_ASKED = 0.25
"""What a word of the question counts for, against one of the answer."""
_VERBATIM = 4.0
"""What it counts for that the whole answer stands in a sentence, against the answer's rarest word."""


def citations(answer: str, question: str, chunks: Sequence[Chunk]) -> list[Citation]:
    """The sentences that have the most of the answer in them, best first; none where none has anything of it. An answer
    without words of its own (yes, no) is held against the question's."""
    places = [(chunk, span) for chunk in chunks for span in sentences(chunk.text)]
    texts = [chunk.text[start:end] for chunk, (start, end) in places]
    told = [set(words(text)) for text in texts]
    weights = rarity(told)
    said, asked = set(words(answer)), set(words(question))
    said = {word for word in said if word in weights} or (asked & set(weights) if _bare(answer) else set())
    whole = _plain(answer)
    rarest = max((weights[word] for word in said), default=0.0)
    scored = []
    for at, text in enumerate(texts):
        own = sum(weights[word] for word in said & told[at])
        if not own:
            continue
        verbatim = _VERBATIM * rarest if whole and whole in _plain(text) else 0.0
        scored.append((own + verbatim + _ASKED * sum(weights[word] for word in (asked - said) & told[at]), at))
    scored.sort(key=lambda each: (-each[0], each[1]))
    found: list[Citation] = []
    for score, at in scored:
        if len(found) == MOST or score < ALMOST * scored[0][0]:
            break
        chunk, (start, end) = places[at]
        cited = Citation(
            texts[at], chunk.start + start, chunk.start + end, (chunk.start, chunk.end),
            chunk.index, chunk.id, chunk.file_id, chunk.filename,
        )  # fmt: skip
        if cited not in found:
            found.append(cited)
    return found


def _bare(answer: str) -> bool:
    return _plain(answer) in ("", "yes", "no", "true", "false")


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
