"""What was said before in a conversation, as turns of question and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..protocol.items import Item, MessageItem, text_of_parts


class Turn(NamedTuple):
    asked: str
    answered: str


class Memory(NamedTuple):
    """`told` is what system and developer said; `turns` are oldest first."""

    told: str = ""
    turns: Sequence[Turn] = ()

    @property
    def size(self) -> int:
        """Bytes of UTF-8."""
        texts = (self.told, *(text for turn in self.turns for text in turn))
        return sum(len(text.encode(errors="replace")) for text in texts)


def remembered(items: Sequence[Item], most: int) -> Memory:
    """The last `most` turns. Calls of functions, their outputs and searches are no part of one; what somebody said in
    several messages is one text; an answer to nothing has an empty question."""
    told: list[str] = []
    turns: list[tuple[list[str], list[str]]] = []
    for item in items:
        if not isinstance(item, MessageItem) or not (text := text_of_parts(item.content).strip()):
            continue
        if item.role in ("system", "developer"):
            told.append(text)
        elif item.role == "user":
            if not turns or turns[-1][1]:
                turns.append(([], []))
            turns[-1][0].append(text)
        else:
            if not turns:
                turns.append(([], []))
            turns[-1][1].append(text)
    kept = [Turn("\n".join(asked), "\n".join(answered)) for asked, answered in turns[-most:]]
    return Memory("\n\n".join(told), kept)
