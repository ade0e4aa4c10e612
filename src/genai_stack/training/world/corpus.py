"""The corpus as a stream: one seed, one order, one mixture of tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from . import drills, tasks, tools
from .names import Draw

_SHARES: tuple[tuple[float, Callable[[Draw], tasks.Chat]], ...] = (
    (0.24, tasks.question),
    (0.05, tasks.summary),
    (0.10, tasks.label),
    (0.13, tasks.extract),
    (0.08, tasks.form),
    (0.08, drills.repeat),
    (0.03, drills.copy),
    (0.05, drills.lookup),
    (0.04, drills.listing),
    (0.02, drills.count_up),
    (0.05, drills.shape),
    (0.04, drills.recall),
    (0.05, drills.talk),
)
"""What these leave over goes to tools."""
_TEXTS = 0.12
"""The share of plain reports in a stream that has them."""


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
            yield {"text": tasks.tell(draw)}
        elif copying and draw.chance(copying):
            yield {"messages": (drills.copy if draw.chance(0.6) else drills.lookup)(draw)}
        elif joined and draw.chance(joined):
            yield {"messages": _joined(draw)}
        else:
            yield _task(draw)


def _joined(draw: Draw) -> tasks.Chat:
    """One conversation through two to six tasks; a system turn is the first one's."""
    chat: tasks.Chat = []
    for _ in range(draw.number(2, 6)):
        _, make = draw.random.choices(_SHARES, [share for share, _ in _SHARES])[0]
        turns = make(draw)
        chat += turns if not chat else [turn for turn in turns if turn["role"] != "system"]
    return chat


TASKS = {make.__name__: make for _, make in _SHARES}
"""The tasks that are plain conversations, by name; `tools` is the other one."""


def of_one_task(task: str, seed: int, count: int, *, heldout: bool = False) -> Iterator[dict[str, Any]]:
    """`count` examples of one task: a name in TASKS, or `tools`."""
    draw = Draw(seed, heldout=heldout)
    for _ in range(count):
        yield _with_tools(draw) if task == "tools" else {"messages": TASKS[task](draw)}


def _with_tools(draw: Draw) -> dict[str, Any]:
    offered, chat = tools.conversation(draw)
    return {"messages": chat, "tools": offered}


def _task(draw: Draw) -> dict[str, Any]:
    at = draw.random.random()
    for share, make in _SHARES:
        at -= share
        if at < 0:
            return {"messages": make(draw)}
    return _with_tools(draw)


def write(path: Path, stream: Iterable[dict[str, Any]]) -> None:
    """Writes `stream` as JSONL; the parent directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for example in stream:
            out.write(json.dumps(example, ensure_ascii=False) + "\n")
