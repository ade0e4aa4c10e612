"""How a model takes to a task that is new to it: the support desk's house form, shown in the prompt or learned by LoRA.

Questions, and what is learned from, are `training.world.support_desk`'s: wordings, items and order numbers of the
questions are in no example.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from math import sqrt
from typing import Any

import msgspec

from . import marking
from .asking import Series
from .scores import Score

SHOTS = (0, 1, 2, 4, 8)
"""Examples in the prompt."""
MOST_SHOTS = 32
EXAMPLES = (10, 100, 1000)
"""Examples that an adapter is trained on."""
RECIPE: Mapping[str, Any] = {
    "epochs": 1.5,
    "learning_rate": 3e-3,
    "schedule": "linear",
    "warmup_ratio": 0.05,
    "batch_size": 4,
    "max_length": 256,
    "packing": True,
    "lora_rank": 16,
    "lora_alpha": 32,
}
"""Hyperparameters of recipes/quickstart.toml, for as many examples as it has."""
SEED = 7
EXACT = {"exact": marking.exact}


class Point(msgspec.Struct, frozen=True):
    """`examples` were in the prompt of `model` ("prompt"), or made `model` ("lora") in `seconds` and `steps`. `score`
    is of the held-out questions that it answered exactly."""

    way: str
    examples: int
    model: str
    score: Score
    seconds: float | None = None
    steps: int | None = None


def in_prompt(model: str, shots: int, count: int) -> Series:
    """`count` held-out questions, each behind `shots` examples as earlier turns: examples of its own, and the first of
    those it has with more shots."""
    from ..training.world import support_desk
    from ..training.world.questions import Question

    shown = examples(support_desk.TRAIN)
    asked = []
    for number, chat in enumerate(support_desk.examples(support_desk.QUESTIONS_SEED, count, heldout=True)):
        question, answer = chat["messages"]
        drawn = random.Random(f"{SEED} {number}").sample(shown, MOST_SHOTS)[:shots]
        turns = [turn for example in drawn for turn in example["messages"]]
        asked.append(
            Question(
                task="chat",
                body={"messages": [*turns, question]},
                expected=answer["content"],
                facts=(),
                passage="",
            )
        )
    return Series(f"{shots} in the prompt", model, asked, EXACT)


def examples(count: int) -> list[dict[str, Any]]:
    """The first `count` examples to learn from, as chats."""
    from ..training.world import support_desk

    return list(support_desk.examples(support_desk.TRAIN_SEED, count, heldout=False))


def hyperparameters(count: int) -> dict[str, Any]:
    """The recipe for `count` examples: ten times fewer are gone through about three times as often, so that few are
    learned in seconds and yet learned."""
    from ..training.world.support_desk import TRAIN

    return {**RECIPE, "epochs": round(RECIPE["epochs"] * max(1.0, sqrt(TRAIN / count)), 1)}
