"""A request for a response as the chat request that a model gets, and a model's refusal in the response's terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from ...errors import GenAIStackError
from ...protocol.items import (
    FileSearchItem,
    FoundText,
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    MessageItem,
    text_of_parts,
)
from ...protocol.responses import (
    ChooseFileSearch,
    ChooseFunction,
    FunctionTool,
    JsonFormat,
    ResponseRequest,
    SchemaFormat,
)

PASSAGES = "Answer from the text."
"""Stands before passages, each of which has its file's name in brackets above it."""


def chat_body(request: ResponseRequest, items: Sequence[Item], passages: Sequence[FoundText]) -> dict[str, Any]:
    """POST /v1/chat/completions, streamed, with the usage so far in each event."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": messages(request.instructions, items, passages),
        "stream": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
    }
    for ours, theirs in (
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("max_output_tokens", "max_completion_tokens"),
    ):
        if (value := getattr(request, ours)) is not None:
            body[theirs] = value
    if request.shows_logprobs:
        body |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    if (form := _format(request)) is not None:
        body["response_format"] = form
    if request.functions:
        body["tools"] = [_tool(tool) for tool in request.functions]
        body["tool_choice"] = _choice(request)
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def messages(
    instructions: str | None, items: Sequence[Item], passages: Sequence[FoundText]
) -> list[dict[str, Any]]:
    """What comes first from system and developer is one message, since many chat templates take no more. Passages stand
    before the question they were found for, in its message: small models read them best there."""
    first = [instructions] if instructions else []
    found: list[dict[str, Any]] = []
    for item in items:
        match item:
            case MessageItem(role=role, content=content):
                text = text_of_parts(content)
                if role in ("system", "developer") and not found:
                    first.append(text)
                else:
                    found.append({"role": "system" if role == "developer" else role, "content": text})
            case FunctionCallItem():
                if not found or found[-1]["role"] != "assistant":
                    found.append({"role": "assistant", "content": None})
                call = {"name": item.name, "arguments": item.arguments}
                found[-1].setdefault("tool_calls", []).append(
                    {"id": item.call_id, "type": "function", "function": call}
                )
            case FunctionOutputItem(call_id=id, output=output):
                text = output if isinstance(output, str) else text_of_parts(list(output))
                found.append({"role": "tool", "tool_call_id": id, "content": text})
            case FileSearchItem():
                pass
    if passages and (asked := [message for message in found if message["role"] == "user"]):
        shown = [f"[{one.filename}]\n{one.text}" for one in passages]
        asked[-1]["content"] = "\n\n".join([PASSAGES, *shown, asked[-1]["content"]])
    return [{"role": "system", "content": "\n\n".join(first)}, *found] if first else found


def last_question(items: Sequence[Item]) -> str:
    """The text of the last user message; empty where there is none."""
    for item in reversed(items):
        if (
            isinstance(item, MessageItem)
            and item.role == "user"
            and (text := text_of_parts(item.content).strip())
        ):
            return text
    return ""


def translated(error: GenAIStackError, request: ResponseRequest) -> GenAIStackError:
    """The error, its `param` and its message naming what the client sent."""
    if error.param is None:
        return error
    ours = _our_name(error.param, request)
    error.message = error.message.replace(f"'{error.param}'", f"'{ours}'")
    error.param = ours
    return error


def _our_name(param: str, request: ResponseRequest) -> str:
    if re.match(r"messages\b", param):
        return "input"
    if param in ("max_tokens", "max_completion_tokens"):
        return "max_output_tokens"
    if param.startswith("response_format"):
        return re.sub(r"^response_format(\.json_schema)?", "text.format", param)
    if tool := re.match(r"tools\[(\d+)\]\.function", param):
        places = [place for place, one in enumerate(request.tools or ()) if isinstance(one, FunctionTool)]
        at = int(tool[1])
        return f"tools[{places[at] if at < len(places) else at}]{param[tool.end() :]}"
    return param


def _format(request: ResponseRequest) -> dict[str, Any] | None:
    form = request.text.format if request.text else None
    if isinstance(form, JsonFormat):
        return {"type": "json_object"}
    if isinstance(form, SchemaFormat):
        plain = {name: value for name, value in msgspec.to_builtins(form).items() if value is not None}
        plain.pop("type")
        return {"type": "json_schema", "json_schema": plain}
    return None


def _tool(tool: FunctionTool) -> dict[str, Any]:
    given = {"description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
    function = {"name": tool.name, **{name: value for name, value in given.items() if value is not None}}
    return {"type": "function", "function": function}


def _choice(request: ResponseRequest) -> Any:
    """A search is a call of a tool: where one is made, `required` asks for no other."""
    choice = request.tool_choice
    if isinstance(choice, ChooseFunction):
        return {"type": "function", "function": {"name": choice.name}}
    if isinstance(choice, ChooseFileSearch):
        return "none"
    if choice == "required" and request.file_search is not None:
        return "auto"
    return choice or "auto"
