"""Data out of a text, in the form of the caller's JSON Schema, which the model's server enforces while it writes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ..errors import RequestError
from ..protocol.tasks import ExtractRequest
from ..task_prompts import Prompt
from .asking import conversation
from .bounded import Sizes, bounded
from .finished import document
from .model import Model, Said, TooLong
from .parts import in_parts

ROOM = 384
"""Tokens of the data where the request sets no `max_tokens`; where they don't do, all that the context has left."""
SMALLER = (Sizes(64, 8), Sizes(12, 2))
"""What the schema leaves open at the second try and at the last."""
_SCALARS = ("string", "number", "integer", "boolean", "null")


class Extracted(NamedTuple):
    data: Any
    pieces: int


async def extract(model: Model, prompt: Prompt, request: ExtractRequest) -> Extracted:
    """What was found in the parts of a long text is put together by the same model, in the same form."""
    values = {"fields": _fields(prompt, request.schema)}
    examples = [({"text": e.text}, _json(e.output)) for e in request.examples or ()]

    async def each(part: str) -> Any:
        messages = await conversation(prompt, {**values, "text": part}, examples)
        said = await model.chat(messages, request.max_tokens or ROOM, schema=request.schema)
        if said.finish == "length" and request.max_tokens is None:
            said = await _again(said, model, messages, request)
        return document(model, said, request.max_tokens)

    read, text = 0, request.text
    while True:
        found = await in_parts(model, text, each, answer=request.max_tokens or ROOM)
        read = read or len(found)
        if len(found) == 1:
            return Extracted(found[0], read)
        told = "\n".join(_json(data) for data in found)
        text = told if len(told) < len(text) else told[: len(text) // 2]


async def _again(said: Said, model: Model, messages: list[dict[str, str]], request: ExtractRequest) -> Said:
    """With all the room there is, and no text or list without an end."""
    narrower = None
    for sizes in SMALLER:
        before, narrower = narrower, bounded(request.schema, sizes)
        if narrower == before:
            break
        try:
            said = await model.chat(messages, None, schema=narrower)
        except TooLong:
            break
        except RequestError as error:
            if error.code != "unsupported_schema":
                raise
            break  # the caller sent another schema, which is enforced
        if said.finish != "length":
            break
    return said


def _fields(prompt: Prompt, schema: dict[str, Any]) -> str:
    """The names of the fields where that tells all, each with what its schema says about it; else the schema."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
        return prompt.phrase("schema", schema=_json(schema))
    told = []
    for name, field in properties.items():
        if not isinstance(field, dict) or not _plain(field):
            return prompt.phrase("schema", schema=_json(schema))
        about = field.get("description")
        told.append(prompt.phrase("described", field=name, description=str(about)) if about else name)
    return ", ".join(told)


def _plain(field: dict[str, Any]) -> bool:
    """Whether the name of a field says what goes into it."""
    kind = field.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return not set(field) - {"type", "description", "title"} and all(each in _SCALARS for each in kinds)


def _json(value: Any) -> str:
    """With the spaces that most models write."""
    return json.dumps(value, ensure_ascii=False)
