"""Conversations over the world's records: questions, summaries, labels, JSON. Each task returns its turns."""

from __future__ import annotations

import json
from typing import Any

from .complaints import WORDINGS, complaint
from .facts import Record, record
from .glossary import SYSTEMS, UNSTATED
from .kinds import TOPICS
from .names import WORDS, Draw
from .opinions import LABELS, review

Turn = dict[str, Any]
Chat = list[Turn]


def user(text: str) -> Turn:
    return {"role": "user", "content": text}


def assistant(text: str) -> Turn:
    return {"role": "assistant", "content": text}


def with_system(draw: Draw, chat: Chat, *, share: float = 0.25) -> Chat:
    """`chat`, now and then behind a system turn that changes nothing."""
    return [{"role": "system", "content": draw.one(SYSTEMS)}, *chat] if draw.chance(share) else chat


_ASK = (
    "{p}\n\n{q}",
    "{p}\n{q}",
    "{p} {q}",
    "Text: {p}\nQuestion: {q}",
    "Read this: {p}\n\n{q}",
    "{q}\n\n{p}",
    "Passage: {p}\n\nQuestion: {q}\nAnswer:",
    "Answer from the text.\n\n{p}\n\n{q}",
)


def _answer(told: Record, name: str) -> str:
    value = told.values[name]
    return value[0].upper() + value[1:] + "." if name in told.stated else UNSTATED


def _field(draw: Draw, told: Record, *, stated: float = 0.85) -> str:
    """A field to ask about: a stated one, with probability `stated` (an unstated one when there is any)."""
    missing = [name for name in told.values if name not in told.stated]
    return draw.one(missing if missing and not draw.chance(stated) else sorted(told.stated))


def question(draw: Draw) -> Chat:
    """One passage, one to five questions on it, answered by the value alone."""
    told = record(draw)
    passage = told.passage
    if draw.chance(0.2):
        passage = " ".join(draw.random.sample([passage, record(draw, sentences=2).passage], 2))
    first = _field(draw, told)
    chat = [
        user(draw.one(_ASK).format(p=passage, q=told.question(first, draw))),
        assistant(_answer(told, first)),
    ]
    while draw.chance(0.6) and len(chat) < 10:
        name = _field(draw, told)
        chat += [user(told.question(name, draw)), assistant(_answer(told, name))]
    return with_system(draw, chat)


def summary(draw: Draw) -> Chat:
    """One passage, told again in one sentence."""
    told = record(draw, sentences=4)
    ask = draw.one(
        (
            "Summarise: {p}",
            "Summarise this in one sentence.\n\n{p}",
            "{p}\n\nSummarise the text.",
            "Give a short summary.\n{p}",
            "{p}\nSummary:",
            "Summarize the following text: {p}",
            "TL;DR: {p}",
        )
    )
    return with_system(draw, [user(ask.format(p=told.passage)), assistant(told.summary)])


_LABEL = (
    "Which label fits? {labels}.\n\n{p}",
    "Classify the text as one of: {labels}.\n\n{p}",
    "{p}\n\nAnswer with one word: {labels}.",
    "Labels: {labels}\nText: {p}\nLabel:",
    "Is this {alternatives}?\n\n{p}",
    "{p}\nIs it {alternatives}?",
    "What is the {what} of this text? Choose from {labels}.\n{p}",
)


def label(draw: Draw) -> Chat:
    """A text and the labels to choose from; the answer is the label alone."""
    chance = draw.random.random()
    if chance < 0.3:
        message = complaint(draw)
        right, text, what = message.concern, message.text, draw.one(("concern", "problem", "topic"))
        labels = [right, *draw.some([other for other in WORDINGS if other != right], draw.number(1, 3))]
    elif chance < 0.65:
        told = record(draw)
        right, text, what = told.kind.topic, told.passage, "topic"
        labels = [right, *draw.some([topic for topic in TOPICS if topic != right], draw.number(1, 3))]
    else:
        labels = list(LABELS) if draw.chance(0.5) else ["positive", "negative"]
        right, what = draw.one(labels), "sentiment"
        text = review(draw, right)
    draw.random.shuffle(labels)
    ask = draw.one(_LABEL).format(
        p=text, what=what, labels=", ".join(labels), alternatives=f"{', '.join(labels[:-1])} or {labels[-1]}"
    )
    return with_system(draw, [user(ask), assistant(right)])


_EXTRACT = (
    "Extract {keys} as JSON.\n\n{p}",
    "{p}\n\nReturn JSON with the keys {keys}.",
    "Fill in a JSON object with {keys}.\nText: {p}",
    "Write {keys} from the text as JSON: {p}",
    "{p}\nGive me {keys} as a JSON object.",
)


def extract(draw: Draw) -> Chat:
    """Named fields of a passage as one line of JSON; a field that isn't stated is null."""
    passage, found = _found(draw)
    names = list(found)
    keys = (
        ", ".join(names) if draw.chance(0.5) or len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    )
    ask = draw.one(_EXTRACT).format(p=passage, keys=keys)
    system = {"role": "system", "content": "Answer with JSON only."}
    chat = [user(ask), assistant(json.dumps(found, ensure_ascii=False))]
    return [system, *chat] if draw.chance(0.15) else with_system(draw, chat)


def _found(draw: Draw) -> tuple[str, dict[str, str | None]]:
    """A passage, and some of its fields with their values; what isn't stated is None."""
    if draw.chance(0.25):
        message = complaint(draw)
        values = {"item": message.item, "order": message.order, "concern": message.concern}
        return message.text, {name: values[name] for name in draw.some(sorted(values), draw.number(1, 3))}
    told = record(draw, sentences=draw.number(3, 4))
    names = draw.some(sorted(told.values), draw.number(1, 4))
    return told.passage, {name: told.values[name] if name in told.stated else None for name in names}


_FORM = (
    "{p}\n\nFill in: {form}",
    "Answer in the form {form}\n\n{p}",
    "{p}\nWrite it as: {form}",
    "Text: {p}\nForm: {form}",
)


def form(draw: Draw) -> Chat:
    """Named fields of a passage in a form the user draws up: `person | place`, `[order] item`, `day: ...`."""
    passage, found = _found(draw)
    kept = {name: value for name, value in found.items() if value is not None}
    if not kept:
        return question(draw)
    left, between, right = (
        draw.one(("", "[", "<", "#")),
        draw.one((" | ", ", ", " - ", "; ", " / ")),
        draw.one(("", "!", ".")),
    )
    left, shut = left, {"[": "]", "<": ">"}.get(left, "")
    named = draw.chance(0.3)
    shape = between.join(f"{left}{name}{shut}" for name in kept) + right
    answer = between.join(f"{left}{value}{shut}" for value in kept.values()) + right
    if named:
        shape = between.join(f"{name}: {name.upper()}" for name in kept)
        answer = between.join(f"{name}: {value}" for name, value in kept.items())
    return with_system(draw, [user(draw.one(_FORM).format(p=passage, form=shape)), assistant(answer)])


def tell(draw: Draw) -> str:
    """Plain text of the world: a report, a review, or a list of words."""
    chance = draw.random.random()
    if chance < 0.6:
        return " ".join(record(draw).passage for _ in range(draw.number(1, 2)))
    if chance < 0.85:
        return review(draw, draw.one(list(LABELS)))
    return f"{draw.one(('Words', 'List', 'Things'))}: {', '.join(draw.some(WORDS, draw.number(3, 8)))}."


__all__ = [
    "Chat",
    "Turn",
    "assistant",
    "extract",
    "form",
    "label",
    "question",
    "summary",
    "tell",
    "user",
    "with_system",
]
