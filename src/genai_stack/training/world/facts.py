"""Records of the world as they are told: a passage, what it states, questions on it, a summary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .kinds import KINDS, Kind
from .names import Draw


@dataclass(frozen=True)
class Record:
    """One told record: `passage` states the fields in `stated` and no others."""

    kind: Kind
    values: Mapping[str, str]
    passage: str
    stated: frozenset[str]

    def question(self, field: str, draw: Draw) -> str:
        return draw.one(self.kind.questions[field]).format(**self.values)

    @property
    def summary(self) -> str:
        return with_articles(self.kind.summary.format(**self.values))


def with_articles(text: str) -> str:
    """`text` with "an" before a vowel."""
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def record(draw: Draw, *, sentences: int | None = None, kind: Kind | None = None) -> Record:
    """A fresh record told in `sentences` sentences (by default, of two to all of them, now and then shuffled)."""
    kind = kind or KINDS[draw.number(0, len(KINDS) - 1)]
    values: dict[str, str] = {}
    for name, make in kind.fields.items():
        value = make(draw)
        while value in values.values():
            value = make(draw)
        values[name] = value
    rest = list(range(1, len(kind.sentences)))
    count = sentences or draw.number(2, len(kind.sentences))
    kept = [0, *sorted(draw.random.sample(rest, min(count - 1, len(rest))))]
    if draw.chance(0.3):
        draw.random.shuffle(kept)
    chosen = [draw.one(kind.sentences[i]) for i in kept]
    stated = frozenset(name for name in values if any("{" + name + "}" in text for text in chosen))
    return Record(kind, values, with_articles(" ".join(text.format(**values) for text in chosen)), stated)
