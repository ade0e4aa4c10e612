"""The corpus as a stream: one seed, one order, one mixture of tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import drills, tasks, tools
from .names import Draw

_CHATS: tuple[tuple[float, Callable[[Draw], tasks.Chat]], ...] = (
    (0.23, tasks.question),
    (0.05, tasks.summary),
    (0.11, tasks.label),
    (0.11, tasks.extract),
    (0.07, tasks.form),
    (0.14, drills.repeat),
    (0.04, drills.listing),
    (0.03, drills.count_up),
    (0.06, drills.shape),
    (0.04, drills.recall),
    (0.06, drills.talk),
)
_TEXTS = 0.12
"""The share of plain reports in a stream that has them. What the shares leave over goes to tools."""


def examples(seed: int, count: int, *, heldout: bool = False, texts: bool = False) -> Iterator[dict[str, Any]]:
    """`count` training examples: `{"messages", "tools"?}`, and `{"text"}` where `texts`. Constant memory."""
    draw = Draw(seed, heldout=heldout)
    for _ in range(count):
        if texts and draw.chance(_TEXTS):
            yield {"text": tasks.tell(draw)}
            continue
        at = draw.random.random()
        for share, make in _CHATS:
            at -= share
            if at < 0:
                yield {"messages": make(draw)}
                break
        else:
            offered, chat = tools.conversation(draw)
            yield {"messages": chat, "tools": offered}


def write(path: Path, seed: int, count: int, *, heldout: bool = False, texts: bool = False) -> None:
    """Writes `examples` as JSONL; the parent directory is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        for example in examples(seed, count, heldout=heldout, texts=texts):
            out.write(json.dumps(example, ensure_ascii=False) + "\n")
