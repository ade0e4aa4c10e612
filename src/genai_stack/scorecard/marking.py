"""When an answer is right. Each mark takes a question and what was said to it, as `asking.said` reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import wording

if TYPE_CHECKING:
    from ..training.world.questions import Question

Mark = Callable[["Question", Any], bool]


def exact(question: Question, said: Any) -> bool:
    """The expected text, letter for letter; only space around it is ignored."""
    return isinstance(said, str) and said.strip() == question.expected.strip()


def answer(question: Question, said: Any) -> bool:
    """The expected answer; case, space around it and a full stop at its end are ignored."""
    return isinstance(said, str) and _bare(said) == _bare(question.expected)


def unstated(question: Question, said: Any) -> bool:
    """No answer at all: `found` was false."""
    return said is None


def label(question: Question, said: Any) -> bool:
    """The expected label and no other."""
    return bool(said == question.expected)


def same_data(question: Question, said: Any) -> bool:
    """The expected JSON: the same names and values, whatever their order in an object; 1 and 1.0 are one number, and
    neither is true."""
    return _same(question.expected, said)


def facts_kept(question: Question, said: Any) -> bool:
    """Every fact that a summary must have stands in it."""
    return isinstance(said, str) and all(wording.kept(fact, said) for fact in question.facts)


def none_invented(question: Question, said: Any) -> bool:
    """A summary that says something, no name or number that its passage hasn't, and no other content word that neither
    the passage nor the expected summary has: of "born: 1990" one may say that somebody was born, not that she is old.
    """
    if not isinstance(said, str) or not said.strip():
        return False
    return not wording.invented(said, question.passage, question.expected or "")


def _bare(text: str) -> str:
    return text.strip().lower().removesuffix(".").rstrip()


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)
