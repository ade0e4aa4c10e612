"""Named fields of a passage as JSON, null where the passage doesn't say."""

from __future__ import annotations

from typing import Any

from .complaints import HELDOUT, WORDINGS, complaint
from .facts import passage
from .names import Draw
from .routes import Chat, Question, assistant, chat, reply, user
from .system_turns import with_system

ASKS = (
    "Extract {keys} as JSON.\n\n{p}", "{p}\n\nReturn JSON with the keys {keys}.",
    "{p}\nGive me {keys} as a JSON object.",
    "Fill in a JSON object with {keys}.\nText: {p}", "Write {keys} from the text as JSON: {p}",
    "{p}\n\nJSON with {keys}:", "Read the text and write {keys} as JSON.\n\n{p}", "Extract {keys} as JSON: {p}",
    "{p}\n\nExtract {keys} as JSON.", "Text: {p}\n\nGive {keys} as JSON.", "Return {keys} as a JSON object.\n\n{p}",
)  # fmt: skip
_MISSING = 0.15


def found(draw: Draw) -> tuple[str, dict[str, str | None]]:
    """A passage, and some of its fields with their values."""
    if draw.chance(0.12):
        message = complaint(draw, wordings=HELDOUT if draw.heldout else WORDINGS)
        values = {"item": message.item, "order": message.order, "concern": message.concern}
        return message.text, {name: values[name] for name in draw.some(sorted(values)[1:], draw.number(1, 2))}
    told = passage(draw, forms=("report", "report", "dialogue", "card"), several=0.0, told=(2, 4))
    pool: dict[str, str | None] = {draw.one(told.kind.keys): told.subjects[0].full}
    for fact in told.stated:
        pool[draw.one(fact.aspect.keys)] = fact.value
    names = draw.some(list(pool), draw.number(1, min(4, len(pool))))
    taken = {name: pool[name] for name in names}
    while told.unstated and len(taken) < 5 and draw.chance(_MISSING):
        fact = draw.random.choice(told.unstated)
        key = draw.one(fact.aspect.keys)
        if key not in pool:
            taken[key] = None
    order = draw.some(list(taken), len(taken))
    return told.text, {name: taken[name] for name in order}


def schema(names: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": ["string", "null"]} for name in names},
        "required": names,
        "additionalProperties": False,
    }


def question(draw: Draw) -> Question:
    text, values = found(draw)
    return Question("extract", {"text": text, "schema": schema(list(values))}, values, passage=text)


def conversation(draw: Draw) -> Chat:
    asked = question(draw)
    if draw.chance(0.5):
        return chat(asked)
    names = list(asked.expected)
    keys = ", ".join(names)
    if draw.chance(0.5) and len(names) > 1:
        keys = f"{', '.join(names[:-1])} and {names[-1]}"
    ask = draw.wording(ASKS).replace("{keys}", keys).replace("{p}", asked.passage)
    turns = [user(ask), assistant(reply(asked))]
    if draw.chance(0.1):
        return [{"role": "system", "content": "Answer with JSON only."}, *turns]
    return with_system(draw, turns)


_FORM = (
    "{p}\n\nFill in: {form}", "Answer in the form {form}\n\n{p}", "{p}\nWrite it as: {form}",
    "Text: {p}\nForm: {form}",
    "Fill in {form}\n\n{p}", "{p}\n\nWrite it in the form {form}",
)  # fmt: skip


def form(draw: Draw) -> Chat:
    """Named fields of a passage in a form the user draws up: `person | place`, `[order] item`, `day: ...`."""
    kept: dict[str, str] = {}
    while not kept:
        text, values = found(draw)
        kept = {name: value for name, value in values.items() if value is not None}
    left = draw.one(("", "[", "<", "#"))
    between, right = draw.one((" | ", ", ", " - ", "; ", " / ")), draw.one(("", "!", "."))
    shut = {"[": "]", "<": ">"}.get(left, "")
    if draw.chance(0.3):
        shape = between.join(f"{name}: {name.upper()}" for name in kept)
        answer = between.join(f"{name}: {value}" for name, value in kept.items())
    else:
        shape = between.join(f"{left}{name}{shut}" for name in kept) + right
        answer = between.join(f"{left}{value}{shut}" for value in kept.values()) + right
    ask = draw.wording(_FORM).replace("{form}", shape).replace("{p}", text)
    return with_system(draw, [user(ask), assistant(answer)])
