"""What a response is made from and made of: messages, calls of functions, their outputs, and searches in files.

`InputItem` is an item as a client sends it, loosely typed as OpenAI's client sends it (a message needs no `type`); the
rest are items as they are kept and shown. An unmodified client may send back what it was given: `annotations`,
`logprobs`, `results`, and the `parsed` and `parsed_arguments` that openai's own client adds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from ..errors import RequestError
from .filters import Value
from .messages import CallId, FunctionName
from .replies import TokenLogprob

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Role = Literal["user", "assistant", "system", "developer"]
Id = Annotated[str, Meta(max_length=128)]


class InputText(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="input_text"):
    text: str
    prompt_cache_breakpoint: None = None


class FileCitation(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="file_citation"):
    """`index` is the character of the text behind which the citation belongs."""

    file_id: str
    filename: str
    index: int


class OutputText(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="output_text"):
    text: str
    annotations: list[FileCitation] = []
    logprobs: list[TokenLogprob] | None = None
    parsed: Any = None


class Refusal(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="refusal"):
    refusal: str


Part = InputText | OutputText | Refusal


class FoundText(Struct, frozen=True):
    """One passage that a search found; `score` is 0 to 1."""

    file_id: str
    filename: str
    score: float
    text: str
    attributes: dict[str, Value] = {}


class InputItem(Struct, frozen=True, forbid_unknown_fields=True):
    """A message (`role` and `content`; `type` may be left out), a `function_call` (`call_id`, `name`, `arguments`), a
    `function_call_output` (`call_id`, `output`), a `file_search_call` as an answer had it, or an `item_reference`: the
    `id` of an item that is kept. Else `id` and `status` are read over: items get ids of their own."""

    type: (
        Literal["message", "function_call", "function_call_output", "file_search_call", "item_reference"] | None
    ) = None
    id: Id | None = None
    status: str | None = None
    role: Role | None = None
    content: str | list[Part] | None = None
    call_id: CallId | None = None
    name: FunctionName | None = None
    arguments: str | None = None
    output: str | list[InputText] | None = None
    queries: list[str] | None = None
    results: list[FoundText] | None = None
    parsed_arguments: Any = None
    phase: Literal["commentary", "final_answer"] | None = None
    namespace: None = None
    caller: None = None
    created_by: None = None


class MessageItem(Struct, frozen=True, tag_field="type", tag="message"):
    """An assistant's content is `output_text` and `refusal`, everybody else's `input_text`."""

    id: str
    role: Role
    content: list[Part]
    status: ItemStatus = "completed"


class FunctionCallItem(Struct, frozen=True, tag_field="type", tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus = "completed"


class FunctionOutputItem(Struct, frozen=True, tag_field="type", tag="function_call_output"):
    id: str
    call_id: str
    output: str | list[InputText]
    status: ItemStatus = "completed"


class FileSearchItem(Struct, frozen=True, tag_field="type", tag="file_search_call"):
    """`results` are shown where `include` asks for them."""

    id: str
    queries: list[str]
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] = "completed"
    results: list[FoundText] | None = None


Item = MessageItem | FunctionCallItem | FunctionOutputItem | FileSearchItem
PREFIXES: dict[str, str] = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "file_search_call": "fs_",
}
_NEEDED = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "file_search_call": ("queries",),
}
REFERENCE = "item_reference"
_OF_NO_KIND = ("type", "id", "status", "parsed_arguments", "phase")
_OPTIONAL = {"file_search_call": ("results",)}


def kind_of(item: InputItem) -> str:
    if item.type is None and item.id is not None and item.role is None and item.content is None:
        return REFERENCE
    return item.type or "message"


def check_items(items: list[InputItem], param: str, *, references: bool = False) -> None:
    """Raises RequestError where an item's fields aren't those of its kind, and for a reference unless there may be
    `references`."""
    for place, item in enumerate(items):
        kind, where = kind_of(item), f"{param}[{place}]"
        if kind == REFERENCE:
            _check_reference(item, where, references)
            continue
        for name in _NEEDED[kind]:
            if getattr(item, name) is None:
                raise RequestError(
                    f"'{where}.{name}' is missing in a {kind}; send it.",
                    param=f"{where}.{name}",
                    code="missing_required_parameter",
                )
        fitting = (*_OF_NO_KIND, *_NEEDED[kind], *_OPTIONAL.get(kind, ()))
        for name in InputItem.__struct_fields__:
            if name not in fitting and getattr(item, name) is not None:
                raise RequestError(
                    f"'{where}.{name}' doesn't belong to a {kind}; leave it out.",
                    param=f"{where}.{name}",
                    code="unknown_parameter",
                )
        if kind == "message":
            _check_content(item, where)


def _check_reference(item: InputItem, where: str, allowed: bool) -> None:
    if not allowed:
        raise RequestError(
            f"'{where}' is an item_reference, which only a response's input may have; send the item itself.",
            param=f"{where}.type",
            code="unsupported_value",
        )
    if item.id is None:
        raise RequestError(
            f"'{where}.id' is missing in an item_reference; send it.",
            param=f"{where}.id",
            code="missing_required_parameter",
        )
    for name in InputItem.__struct_fields__:
        if name not in ("type", "id") and getattr(item, name) is not None:
            raise RequestError(
                f"'{where}.{name}' doesn't belong to an item_reference; leave it out.",
                param=f"{where}.{name}",
                code="unknown_parameter",
            )


def _check_content(item: InputItem, where: str) -> None:
    if isinstance(item.content, str):
        return
    for place, part in enumerate(item.content or ()):
        if item.role != "assistant" and not isinstance(part, InputText):
            raise RequestError(
                f"'{where}.content[{place}]' is of an assistant's kind; a {item.role}'s content is 'input_text'.",
                param=f"{where}.content[{place}].type",
                code="invalid_value",
            )


def kept(item: InputItem, id: str) -> Item:
    """The item as it is kept, under `id`. Its fields have been checked."""
    match kind_of(item):
        case "function_call":
            return FunctionCallItem(id, item.call_id or "", item.name or "", item.arguments or "")
        case "function_call_output":
            return FunctionOutputItem(id, item.call_id or "", item.output if item.output is not None else "")
        case "file_search_call":
            return FileSearchItem(id, item.queries or [], results=item.results)
    role = item.role or "user"
    given: list[Part] = [InputText(item.content)] if isinstance(item.content, str) else list(item.content or ())
    if role == "assistant":
        given = [OutputText(part.text) if isinstance(part, InputText) else part for part in given]
    return MessageItem(id, role, given)


def kind_of_kept(item: Item) -> str:
    kind = item.__struct_config__.tag
    assert isinstance(kind, str)
    return kind


def text_of_parts(parts: list[Part]) -> str:
    return "\n".join(part.refusal if isinstance(part, Refusal) else part.text for part in parts)


def without_results(item: Item) -> Item:
    """The item as it is shown to whoever doesn't ask for more."""
    if isinstance(item, FileSearchItem) and item.results is not None:
        return FileSearchItem(item.id, item.queries, item.status)
    return item
