"""The scorecard of the built-in world: which questions are asked, how they are marked, and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from . import marking
from .asking import Answered, Series
from .marking import Mark
from .scores import Score, of_series, score

COUNT, SEED = 200, 1
SHOTS = (0, 1, 2, 4, 8)
"""Examples that a new mapping is shown by."""
AIMED = 4
"""Examples at which a mapping is to be got."""
MARKS: Mapping[str, Mapping[str, Mark]] = {
    "answer": {"exact": marking.answer},
    "unstated": {"not found": marking.unstated},
    "classify": {"exact": marking.label},
    "translate": {"exact": marking.exact},
    "summarize": {"facts kept": marking.facts_kept, "none invented": marking.none_invented},
    "extract": {"equal": marking.same_data},
    "mapping": {"exact": marking.exact},
    "explain": {"exact": marking.exact},
}
"""By family, those of `training.world.questions`."""
TARGETS = {
    ("answer", "exact"): 0.95,
    ("unstated", "not found"): 0.90,
    ("classify", "exact"): 0.95,
    ("translate", "exact"): 0.90,
    ("summarize", "facts kept"): 0.90,
    ("summarize", "none invented"): 0.95,
    ("extract", "equal"): 0.95,
    (f"mapping, {AIMED} examples", "exact"): 0.80,
}
"""By series and measure."""


class Card(msgspec.Struct, frozen=True):
    """`count` questions of each family (of a mapping, at each number of examples) from the generator's `seed`.
    `mapping_rises`: more examples never made the score of a mapping lower up to AIMED, and it is higher there than with
    none; None where mappings weren't asked."""

    model: str
    count: int
    seed: int
    seconds: float
    failed: int
    scores: list[Score]
    mapping_rises: bool | None


def series(model: str, families: Sequence[str], *, count: int, seed: int) -> list[Series]:
    """The questions to `model`, in the order of the families."""
    from ..training.world.questions import questions

    made = []
    for family in families:
        for shots in SHOTS if family == "mapping" else (AIMED,):
            asked = list(questions(family, seed, count, shots=shots))
            made.append(Series(_name(family, shots), model, asked, MARKS[family]))
    return made


def card(
    model: str, asked: Sequence[Series], answers: Sequence[Answered], *, count: int, seed: int, seconds: float
) -> Card:
    scores = [
        score(
            each.name if len(each.marks) == 1 else f"{each.name}, {measure}",
            of_series(answers, each.name, measure),
            TARGETS.get((each.name, measure)),
        )
        for each in asked
        for measure in each.marks
    ]
    failed = sum(answer.error is not None for answer in answers)
    return Card(model, count, seed, round(seconds, 1), failed, scores, _rises(scores))


def _name(family: str, shots: int) -> str:
    if family != "mapping":
        return family
    return f"mapping, {shots} example{'' if shots == 1 else 's'}"


def _rises(scores: Sequence[Score]) -> bool | None:
    by_name = {each.name: each.score for each in scores}
    upto = [by_name[name] for shots in SHOTS if shots <= AIMED and (name := _name("mapping", shots)) in by_name]
    if not upto:
        return None
    return upto[-1] > upto[0] and all(more >= fewer for fewer, more in pairwise(upto))
