"""Plain text of the world: reports, reviews, lists of words."""

from __future__ import annotations

from .facts import passage
from .names import WORDS, Draw
from .opinions import LABELS, review


def tell(draw: Draw) -> str:
    chance = draw.random.random()
    if chance < 0.6:
        return " ".join(passage(draw, forms=("report",)).text for _ in range(draw.number(1, 2)))
    if chance < 0.85:
        return review(draw, draw.one(list(LABELS)))
    return f"{draw.one(('Words', 'List', 'Things'))}: {', '.join(draw.some(WORDS, draw.number(3, 8)))}."
