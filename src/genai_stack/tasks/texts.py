"""Tasks that turn a text into a text: summarize, translate, rewrite."""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.languages import LANGUAGES
from ..protocol.task_replies import Ended
from ..protocol.tasks import RewriteRequest, SummarizeRequest, TextExample, TranslateRequest
from ..task_prompts import Prompt
from .asking import Values, conversation
from .model import Model, Tell
from .parts import in_parts

LENGTHS = {"short": 128, "medium": 256, "long": 512}
"""Tokens of a summary that was given no `max_tokens`."""
LEAST = 64
"""Tokens that a translation or a rewriting of a few words may have."""


class Written(NamedTuple):
    text: str
    finish: Ended
    pieces: int


async def summarize(model: Model, prompt: Prompt, request: SummarizeRequest, tell: Tell | None) -> Written:
    """A long text's parts are summarised each for itself, and then their summaries."""
    length = request.length or "short"
    values = {"length": prompt.phrase(length), "style": prompt.phrase(request.style or "prose")}
    most = request.max_tokens or LENGTHS[length]
    read = 0

    async def ask(text: str, tell: Tell | None = None) -> Written:
        messages = await conversation(prompt, {**values, "text": text}, _shown(request.examples))
        said = await model.chat(messages, most, tell=tell)
        return Written(said.text.strip(), said.finish, 1)

    async def whole(text: str) -> Written:
        nonlocal read
        first = True

        async def each(part: str) -> Written:
            nonlocal first
            told, first = (tell if first else None), False
            found = await ask(part, told)
            return found if part is text else found._replace(text=_shorter(found.text, part))

        found = await in_parts(model, text, each, answer=most)
        read = read or len(found)
        if len(found) == 1:
            return found[0]
        joined = "\n".join(part.text for part in found if part.text)
        return await whole(joined) if joined else found[0]

    written = await whole(request.text)
    return written._replace(pieces=read)


async def translate(model: Model, prompt: Prompt, request: TranslateRequest, tell: Tell | None) -> Written:
    source = prompt.phrase("from", source=LANGUAGES[request.source]) if request.source else ""
    values = {"target": LANGUAGES[request.target], "from": source}
    return await _part_by_part(model, prompt, request, values, tell)


async def rewrite(model: Model, prompt: Prompt, request: RewriteRequest, tell: Tell | None) -> Written:
    tone = prompt.phrase(request.tone) if request.tone else ""
    told = prompt.phrase("instruction", instruction=request.instruction) if request.instruction else ""
    how = prompt.phrase("both", tone=tone, instruction=told) if tone and told else tone or told
    return await _part_by_part(model, prompt, request, {"how": how}, tell)


async def _part_by_part(
    model: Model, prompt: Prompt, request: TranslateRequest | RewriteRequest, values: Values, tell: Tell | None
) -> Written:
    """Each part becomes its own text; what stood between them stays. Streamed, one part comes after the other."""

    async def each(part: str) -> Written:
        words = part.strip()
        before, after = part[: part.index(words)], part[part.index(words) + len(words) :]
        most = request.max_tokens or max(len(words.encode(errors="replace")), LEAST)
        messages = await conversation(prompt, {**values, "text": words}, _shown(request.examples))
        told = _Framed(tell, before) if tell else None
        said = await model.chat(messages, most, tell=told)
        if tell and after:
            await tell(after)
        return Written(before + said.text + after, said.finish, 1)

    per_byte = 0.0 if request.max_tokens else 1.0
    found = await in_parts(
        model,
        request.text,
        each,
        answer=request.max_tokens or LEAST,
        per_byte=per_byte,
        at_once=1 if tell else 4,
    )
    finish: Ended = "length" if any(part.finish == "length" for part in found) else "stop"
    return Written("".join(part.text for part in found), finish, len(found))


class _Framed:
    """Says `before` ahead of the first piece."""

    def __init__(self, tell: Tell, before: str) -> None:
        self._tell, self._before = tell, before

    async def __call__(self, piece: str) -> None:
        before, self._before = self._before, ""
        await self._tell(before + piece)


def _shown(examples: list[TextExample] | None) -> list[tuple[Values, str]]:
    return [({"text": example.text}, example.output) for example in examples or ()]


def _shorter(summary: str, part: str) -> str:
    """A part's summary is at most half of it, so that going on comes to an end."""
    return summary[: max(len(part) // 2, 1)]
