"""Held-out questions of each family, for a scorecard: names, wordings and combinations that no corpus has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from . import fields, labels, mappings, reading, summaries, terms, translating
from .names import Draw
from .routes import Question

_MAKERS: Mapping[str, Callable[[Draw], Question]] = {
    "answer": reading.answer_question,
    "unstated": reading.unstated_question,
    "classify": labels.question,
    "translate": translating.question,
    "summarize": summaries.question,
    "extract": fields.question,
    "explain": terms.question,
}
FAMILIES = ("answer", "unstated", "classify", "translate", "summarize", "extract", "mapping", "explain")


def questions(family: str, seed: int, count: int, *, shots: int = 4) -> Iterator[Question]:
    """`count` held-out questions of a family; `shots` are the examples in a prompt of "mapping"."""
    draw = Draw(seed, heldout=True)
    for _ in range(count):
        yield mappings.question(draw, shots) if family == "mapping" else _MAKERS[family](draw)


__all__ = ["FAMILIES", "Question", "questions"]
