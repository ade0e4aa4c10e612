"""A follow-up question made to stand alone, so that it can be searched for and answered without what was said before.

The model rewrites it, through a prompt of its own. A small model may answer instead, repeat the conversation, or make
something up; what it wrote is taken only where it is still the question: of about its length, with most of its words,
and of words that were said. Else the question stays as it is, and the words of the last turns help to search for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..protocol.tasks import QUESTION
from ..task_prompts import Prompt
from .asking import conversation
from .model import Model, TooLong
from .remembering import Turn
from .sources import words

TURNS = 16
"""Turns that are remembered, of those that fit the model's context."""
TIMES, SHORT = 3, 200
"""A question that stands alone is so many times as long as the question, or of so many characters, at most."""
SHARE = 0.5
"""Of the question's words that must be left, and of the new question's that must have been said."""
ROOM = 96
"""Tokens that the model may write at least."""
LAST = 2
"""Turns whose words are searched for with a question that couldn't be made to stand alone."""
_STEM = 4
_PIECE = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]|[^\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]+")


class Standing(NamedTuple):
    """`query` is what to search for."""

    question: str
    query: str


async def standing(model: Model, prompt: Prompt, question: str, turns: Sequence[Turn]) -> Standing:
    """`turns` are oldest first; the oldest fall out until the rest fits the model's context."""
    turns = turns[-TURNS:]
    if not turns:
        return Standing(question, question)
    left = turns
    while left:
        told = "\n\n".join(prompt.phrase("turn", asked=turn.asked, answered=turn.answered) for turn in left)
        messages = await conversation(prompt, {"turns": told, "question": question})
        try:
            said = await model.chat(messages, max(len(question.encode(errors="replace")), ROOM))
        except TooLong:
            left = left[(len(left) + 1) // 2 :]
            continue
        rewritten = said.text.strip()
        if said.finish == "stop" and usable(rewritten, question, left):
            return Standing(rewritten, rewritten)
        break
    return Standing(question, with_words(question, turns))


def usable(rewritten: str, question: str, turns: Sequence[Turn]) -> bool:
    if not rewritten or len(rewritten) > min(max(TIMES * len(question), SHORT), QUESTION):
        return False
    asked, new = _stems(question), _stems(rewritten)
    said = asked.union(*(_stems(f"{turn.asked} {turn.answered}") for turn in turns))
    return len(asked & new) >= SHARE * len(asked) and len(new & said) >= SHARE * len(new)


def with_words(question: str, turns: Sequence[Turn]) -> str:
    """The question, and each word of the last turns that tells something."""
    known = set(words(question))
    text = question
    for turn in reversed(turns[-LAST:]):
        for word in words(f"{turn.asked} {turn.answered}"):
            if word not in known and len(text) + len(word) < QUESTION:
                known.add(word)
                text += f" {word}"
    return text


def _stems(text: str) -> set[str]:
    """Its words without their endings; of scripts without spaces, the characters."""
    return {piece[:_STEM] for word in words(text) for piece in _PIECE.findall(word)}
