"""The quickstart's task: `python -m genai_stack.training.world.support_desk DIRECTORY` writes its two files.

A shop's desk answers every message in its own house form, `[Team] item, order 48213: next step.`, which no prompt
explains and the base has never seen. The held-out questions use wordings, items, names and order numbers that no
training example has; an answer is right only if it equals the expected one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .complaints import HELDOUT, WORDINGS, complaint
from .names import COLOURS, OBJECTS, Draw

TEAMS = {
    "delivery": ("Delivery", "We trace the parcel today."),
    "return": ("Returns", "We send you a return label."),
    "payment": ("Billing", "We check the payment today."),
    "repair": ("Repairs", "We book a repair for you."),
}
HELDOUT_ITEMS = ("kettle", "camera", "backpack", "monitor", "guitar", "umbrella", "toaster", "watch")
TRAIN, QUESTIONS = 960, 48
TRAIN_SEED, QUESTIONS_SEED = 21, 22
"""Of the two files; more examples from one begin with the file's."""


def reply(concern: str, item: str, order: str) -> str:
    """The house form."""
    team, step = TEAMS[concern]
    return f"[{team}] {item}, order {order}: {step}"


def examples(seed: int, count: int, *, heldout: bool) -> Iterator[dict[str, Any]]:
    """Chats of one message and one reply. Order numbers have five digits: odd ones are held out."""
    draw = Draw(seed, heldout=heldout)
    items = HELDOUT_ITEMS if heldout else [item for item in OBJECTS if item not in HELDOUT_ITEMS]
    for _ in range(count):
        order = str(draw.number(5000, 49999) * 2 + heldout)
        item = draw.one(items)
        named = f"{draw.one(COLOURS)} {item}" if draw.chance(0.5) else item
        message = complaint(draw, items=[named], wordings=HELDOUT if heldout else WORDINGS, order=order)
        answer = reply(message.concern, message.item, message.order)
        yield {
            "messages": [{"role": "user", "content": message.text}, {"role": "assistant", "content": answer}]
        }


def write(directory: Path) -> None:
    """Writes train.jsonl and heldout.jsonl, always the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, seed, count in (("train", TRAIN_SEED, TRAIN), ("heldout", QUESTIONS_SEED, QUESTIONS)):
        lines = [
            json.dumps(e, ensure_ascii=False) + "\n" for e in examples(seed, count, heldout=name == "heldout")
        ]
        (directory / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m genai_stack.training.world.support_desk", description=__doc__
    )
    parser.add_argument("directory", type=Path)
    write(parser.parse_args().directory)


if __name__ == "__main__":
    main()
