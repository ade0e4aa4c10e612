"""From marks to scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from .asking import Answered
from .intervals import wilson


class Score(msgspec.Struct, frozen=True):
    """`right` of `n` answers; `score` is their share and [`low`, `high`] its 95 % interval, all in 0 to 1. `reached` is
    whether the share is at `target` or over it; None where nothing is asked of it."""

    name: str
    n: int
    right: int
    score: float
    low: float
    high: float
    target: float | None = None
    reached: bool | None = None


def score(name: str, marks: Iterable[bool], target: float | None = None) -> Score:
    given = list(marks)
    n, right = len(given), sum(given)
    share = right / n if n else 0.0
    low, high = wilson(right, n)
    return Score(name, n, right, share, low, high, target, None if target is None else share >= target)


def of_series(answers: Sequence[Answered], series: str, measure: str) -> list[bool]:
    """The marks that the answers of one series got for one measure."""
    return [each.right[measure] for each in answers if each.series == series]
