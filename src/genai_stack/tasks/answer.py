"""A question answered from sources, with citations; or the honest word that they don't say."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from ..protocol.task_replies import Citation, Ended
from ..protocol.tasks import AnswerRequest
from ..task_prompts import Prompt
from .asking import Values, conversation
from .citing import citations
from .confidence import of_text
from .model import Model, Said, Tell, TooLong
from .parts import SHORTEST
from .sources import Chunk, Search, by_relevance, chunks, groups

ROOM = 256
"""Tokens of an answer that was given no `max_tokens`."""
NO_VALUES: Values = {}
CHARACTERS = 4
"""Of a token, about."""
GROUPS = 16
"""How often sources longer than the context are read, the most relevant ones first."""


class Answered(NamedTuple):
    found: bool
    answer: str | None
    citations: list[Citation]
    confidence: float | None
    finish: Ended
    pieces: int


async def answer(
    model: Model,
    prompt: Prompt,
    request: AnswerRequest,
    tell: Tell | None,
    search: Search | None,
    *,
    query: str | None = None,
    more: Values = NO_VALUES,
    beside: Values = NO_VALUES,
) -> Answered:
    """The sources are read at once where they fit the context; else those first that have the question's words, until
    one part of them has the answer. `query` is searched for instead of the question; `more` fills further places of
    the prompt, `beside` has by the parameter what that is made of."""
    model.params["messages"] = "question" if request.vector_store_id else given(request)
    query = query or request.question
    sources = await chunks(request, query, search)
    if not sources:
        return Answered(False, None, [], None, "stop", 0)
    silent = _silent(prompt)
    waiting, read, last = [sources], 0, None
    while waiting:
        group = waiting.pop(0)
        try:
            said = await _ask(model, prompt, request, group, silent, tell, more)
        except TooLong as error:
            if len(group) == 1 and len(group[0].text) < SHORTEST:
                raise error.blamed(_largest(request, beside)) from None
            waiting = await _smaller(model, query, group) + waiting
            continue
        read, text, last = read + 1, said.text.strip(), said
        if _states(text, silent):
            cited = await asyncio.to_thread(citations, text, query, group)
            return Answered(True, text, cited, of_text(said.tokens), said.finish, read)
        if read == GROUPS:
            break
    assert last is not None, "a group that is never short enough raises"
    return Answered(False, None, [], of_text(last.tokens), "stop", read)


def given(request: AnswerRequest) -> str:
    return "passages" if request.passages is not None else "documents"


async def _ask(
    model: Model,
    prompt: Prompt,
    request: AnswerRequest,
    group: Sequence[Chunk],
    silent: Sequence[str],
    tell: Tell | None,
    more: Values,
) -> Said:
    unstated = prompt.phrase("unstated")
    values = {**more, "passages": _joined(group), "question": request.question, "unstated": unstated}
    examples = [
        ({"passages": e.passage, "question": e.question}, unstated if e.output is None else e.output)
        for e in request.examples or ()
    ]
    messages = await conversation(prompt, values, examples)
    held = Held(tell, silent) if tell else None
    said = await model.chat(messages, request.max_tokens or ROOM, alternatives=0, tell=held)
    if held is not None and _states(said.text, silent):
        await held.release()
    return said


class Held:
    """Lets a text pass once it is sure that it says something."""

    def __init__(self, tell: Tell, silent: Sequence[str]) -> None:
        self._tell, self._silent, self._waiting, self._open = tell, silent, "", False

    async def __call__(self, piece: str) -> None:
        if self._open:
            await self._tell(piece)
            return
        self._waiting += piece
        so_far = _bare(self._waiting)
        if so_far and not any(
            silent.startswith(so_far) or so_far.startswith(silent) for silent in self._silent
        ):
            await self.release()

    async def release(self) -> None:
        waiting, self._waiting, self._open = self._waiting.lstrip(), "", True
        if waiting:
            await self._tell(waiting)


def _largest(request: AnswerRequest, beside: Values) -> str:
    """The parameter that leaves no room for a source, however short."""
    shown = [(e.passage, e.question, e.output or "") for e in request.examples or ()]
    sizes = {
        "question": len(request.question),
        "examples": sum(len(text) for example in shown for text in example),
        "max_tokens": (request.max_tokens or 0) * CHARACTERS,
        **{param: len(text) for param, text in beside.items()},
    }
    return max(sizes, key=lambda param: sizes[param])


async def _smaller(model: Model, query: str, group: list[Chunk]) -> list[list[Chunk]]:
    """The group in parts, the most relevant first."""
    if len(group) == 1:
        only = group[0]
        half = len(only.text) // 2
        return [
            [_part(only, 0, half)],
            [_part(only, half, len(only.text))],
        ]
    ranked = await asyncio.to_thread(by_relevance, query, group)
    counted = await model.tokens("\n\n".join(chunk.text for chunk in ranked[:4])[:4000])
    if counted is None:
        return groups(ranked, 2)
    sample = min(sum(len(chunk.text) for chunk in ranked[:4]), 4000)
    need = counted.count / max(sample, 1) * sum(len(chunk.text) for chunk in ranked) * 1.15
    parts = math.ceil(need / max(counted.max_model_len - ROOM - 64, counted.max_model_len // 4))
    return groups(ranked, min(max(parts, 2), len(ranked)))


def _part(chunk: Chunk, start: int, end: int) -> Chunk:
    return Chunk(
        chunk.text[start:end], chunk.start + start, chunk.start + end,
        chunk.index, chunk.id, chunk.file_id, chunk.filename,
    )  # fmt: skip


def _joined(group: Sequence[Chunk]) -> str:
    """Neighbours of one source go on without a break."""
    text, before = "", None
    for chunk in group:
        follows = before is not None and (before.index, before.file_id, before.end) == (
            chunk.index, chunk.file_id, chunk.start,
        )  # fmt: skip
        text += chunk.text if follows or before is None else "\n\n" + chunk.text
        before = chunk
    return text.strip()


def _silent(prompt: Prompt) -> list[str]:
    """How a text begins that says nothing: as it was told to, or in other words that models have for it."""
    told = [prompt.phrase("unstated"), *prompt.phrase("silent").splitlines()]
    return [bare for line in told if (bare := _bare(line))]


def _states(text: str, silent: Sequence[str]) -> bool:
    bare = _bare(text)
    return bool(bare) and not any(bare == word or bare.startswith(word + " ") for word in silent)


def _bare(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
