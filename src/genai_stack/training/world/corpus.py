"""The corpus as a stream: one seed, one order, one mixture of tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from . import drills, fields, labels, mappings, reading, routes, summaries, telling, terms, tools, translating
from .names import Draw
from .routes import Chat

_SHARES: tuple[tuple[str, float, Callable[[Draw], Chat]], ...] = (
    ("answer", 0.25, reading.conversation),
    ("unstated", 0.0, lambda draw: routes.chat(reading.unstated_question(draw))),
    ("classify", 0.10, labels.conversation),
    ("summarize", 0.08, summaries.conversation),
    ("extract", 0.13, fields.conversation),
    ("translate", 0.17, translating.conversation),
    ("mapping", 0.10, mappings.conversation),
    ("explain", 0.03, terms.conversation),
    ("form", 0.02, fields.form),
    ("repeat", 0.03, drills.repeat),
    ("copy", 0.01, drills.copy),
    ("lookup", 0.02, drills.lookup),
    ("listing", 0.01, drills.listing),
    ("count_up", 0.005, drills.count_up),
    ("shape", 0.01, drills.shape),
    ("recall", 0.01, drills.recall),
    ("talk", 0.01, drills.talk),
    ("tools", 0.015, lambda draw: tools.conversation(draw)[1]),
)
"""Each task with its share of the conversations."""
_TEXTS = 0.12
"""The share of plain reports in a stream that has them."""
TASKS: Mapping[str, Callable[[Draw], Chat]] = {name: make for name, _, make in _SHARES}
_NAMES = [name for name, _, _ in _SHARES]
_SUMS = list(accumulate(share for _, share, _ in _SHARES))


def examples(
    seed: int,
    count: int,
    *,
    heldout: bool = False,
    texts: bool = False,
    copying: float = 0.0,
    joined: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """`count` training examples: `{"messages", "tools"?}`, and `{"text"}` where `texts`. Constant memory.

    `copying` is the share given over to drills in copying and looking up, for a model that can't do either yet;
    `joined` the share of conversations that go through several tasks, for answers far from their passages.
    """
    draw = Draw(seed, heldout=heldout)
    for _ in range(count):
        if texts and draw.chance(_TEXTS):
            yield {"text": telling.tell(draw)}
        elif copying and draw.chance(copying):
            yield {"messages": (drills.copy if draw.chance(0.6) else drills.lookup)(draw)}
        elif joined and draw.chance(joined):
            yield {"messages": _joined(draw)}
        else:
            yield _of(_task(draw), draw)


def of_one_task(task: str, seed: int, count: int, *, heldout: bool = False) -> Iterator[dict[str, Any]]:
    """`count` examples of one of TASKS."""
    draw = Draw(seed, heldout=heldout)
    for _ in range(count):
        yield _of(task, draw)


def _task(draw: Draw) -> str:
    return draw.random.choices(_NAMES, cum_weights=_SUMS)[0]


def _of(task: str, draw: Draw) -> dict[str, Any]:
    if task == "tools":
        offered, chat = tools.conversation(draw)
        return {"messages": chat, "tools": offered}
    return {"messages": TASKS[task](draw)}


def _joined(draw: Draw) -> Chat:
    """One conversation through two to four tasks; a system turn is the first one's."""
    chat: Chat = []
    for _ in range(draw.number(2, 4)):
        task = _task(draw)
        while task == "tools":
            task = _task(draw)
        turns = TASKS[task](draw)
        chat += turns if not chat else [turn for turn in turns if turn["role"] != "system"]
    return chat


def write(path: Path, stream: Iterable[dict[str, Any]]) -> None:
    """Writes `stream` as JSONL; the parent directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for example in stream:
            out.write(json.dumps(example, ensure_ascii=False) + "\n")
