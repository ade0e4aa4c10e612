"""Labels for a text. The model writes what a schema leaves it: one of the labels, or true or false for each of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import msgspec

from ..errors import EngineFailed
from ..protocol.task_replies import LabelScore
from ..protocol.tasks import ClassifyRequest, Label
from ..task_prompts import Prompt
from .asking import conversation
from .confidence import of_choice, of_flags
from .finished import document
from .model import Model, Said
from .parts import in_parts

ALTERNATIVES = 20
"""Tokens beside each one whose probabilities are asked for; as many as servers give."""


class Classified(NamedTuple):
    label: str | None
    labels: list[str]
    scores: list[LabelScore]
    pieces: int


class Flag(NamedTuple):
    said: bool
    confidence: float | None


async def classify(model: Model, prompt: Prompt, request: ClassifyRequest) -> Classified:
    if request.multi_label:
        return await _several(model, prompt, request)
    return await _one(model, prompt, request)


async def _one(model: Model, prompt: Prompt, request: ClassifyRequest) -> Classified:
    """Of a text in parts, the label with the most confidence in all of them together."""
    names = [label.name for label in request.named]
    examples = [({"text": e.text}, _json(e.output)) for e in request.examples or ()]
    values = _values(prompt, "one", request.named)
    most = request.max_tokens or max(len(_json(name).encode()) for name in names) + 8

    async def each(part: str) -> LabelScore:
        messages = await conversation(prompt, {**values, "text": part}, examples)
        said = await model.chat(messages, most, schema={"enum": names}, alternatives=ALTERNATIVES)
        chosen = document(model, said, request.max_tokens)
        if chosen not in names:
            raise _unasked(model)
        others = [_json(name).encode() for name in names if name != chosen]
        return LabelScore(chosen, of_choice(said.tokens, _json(chosen).encode(), others))

    found = await in_parts(model, request.text, each, answer=most)
    sums: defaultdict[str, float] = defaultdict(float)
    for score in found:
        sums[score.label] += 1.0 if score.confidence is None else score.confidence
    label = max(names, key=lambda name: sums[name])
    known = all(score.confidence is not None for score in found)
    best = LabelScore(label, round(sums[label] / len(found), 6) if known else None)
    return Classified(label, [label], [best], len(found))


async def _several(model: Model, prompt: Prompt, request: ClassifyRequest) -> Classified:
    """A label fits a text in parts if it fits one of them."""
    names = [label.name for label in request.named]
    examples = [({"text": e.text}, _flags(e.output, names)) for e in request.examples or ()]
    values = _values(prompt, "several", request.named)
    most = request.max_tokens or len(_flags([], names).encode()) + 2 * len(names) + 8
    schema = {
        "type": "object",
        "properties": {name: {"type": "boolean"} for name in names},
        "required": names,
        "additionalProperties": False,
    }

    async def each(part: str) -> dict[str, Flag]:
        messages = await conversation(prompt, {**values, "text": part}, examples)
        said = await model.chat(messages, most, schema=schema, alternatives=ALTERNATIVES)
        flags = document(model, said, request.max_tokens)
        if (
            not isinstance(flags, dict)
            or [*flags] != names
            or not all(isinstance(f, bool) for f in flags.values())
        ):
            raise _unasked(model)
        sure = of_flags(said.tokens, _places(said, flags))
        return {name: Flag(flags[name], sure[name]) for name in names}

    found = await in_parts(model, request.text, each, answer=most)
    scores = [LabelScore(name, _most([flags[name].confidence for flags in found])) for name in names]
    chosen = [name for name in names if any(flags[name].said for flags in found)]
    return Classified(None, chosen, scores, len(found))


def _most(confidences: list[float | None]) -> float | None:
    return max((known for known in confidences if known is not None), default=None)


def _places(said: Said, flags: dict[str, bool]) -> dict[str, tuple[int, bool]]:
    """Where in the answer, in bytes, each label's true or false begins."""
    text, at, found = said.text, 0, {}
    for name, flag in flags.items():
        key = _json(name)
        at = text.find(key, at) + len(key)
        word = "true" if flag else "false"
        at = text.find(word, at)
        found[name] = len(text[:at].encode()), flag
        at += len(word)
    return found


def _values(prompt: Prompt, ask: str, labels: list[Label]) -> dict[str, str]:
    listed = ", ".join(
        prompt.phrase("described", label=label.name, description=label.description)
        if label.description
        else label.name
        for label in labels
    )
    return {"ask": prompt.phrase(ask, labels=listed), "labels": listed}


def _flags(chosen: str | list[str], names: list[str]) -> str:
    told = [chosen] if isinstance(chosen, str) else chosen
    return "{" + ", ".join(f"{_json(name)}: {_json(name in told)}" for name in names) + "}"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _unasked(model: Model) -> EngineFailed:
    return EngineFailed(
        f"'{model.name}' wrote something else than the labels it was held to; name another model.",
        code="invalid_output",
    )
