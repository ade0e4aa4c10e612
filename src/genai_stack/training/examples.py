"""What a training example is: one JSON object, checked and typed. Knows neither files nor tokenizers.

| object | learned as |
|---|---|
| `{"messages": [...], "tools"?: [...]}` | a chat: its assistant turns |
| `{"prompt": "...", "completion": "..."}` | a completion; both may be lists of turns, which makes it a chat |
| `{"text": "..."}` | a passage |
| `{"prompt"?: ..., "chosen": ..., "rejected": ...}` | a preference: strings, or lists of turns |
| `{"input": {"messages", "tools"?}, "preferred_output": [...], "non_preferred_output": [...]}` | the same |

Without a `prompt`, what `chosen` and `rejected` begin with alike is the prompt. `chosen` and `rejected` go before
`messages`, and other keys beside these are ignored. The forms are TRL's (its "dataset formats"); the last one is
OpenAI's, and is for JSON lines only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .strict import Fault, json_object, json_value

ROLES = ("system", "developer", "user", "assistant", "tool")
COLUMNS = ("messages", "tools", "prompt", "completion", "text", "chosen", "rejected")
"""The keys that are read."""


@dataclass(frozen=True)
class Chat:
    """Assistant turns are learned, but for those whose `weight` is 0."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Completion:
    prompt: str
    completion: str


@dataclass(frozen=True)
class Passage:
    text: str


@dataclass(frozen=True)
class Preference:
    """Two examples of one kind with one prompt, of which the first is preferred. Only what follows the prompt is
    learned."""

    chosen: Chat | Completion
    rejected: Chat | Completion


Example = Chat | Completion | Passage | Preference


def kind(example: Example) -> str:
    """What messages call it, in the plural."""
    names = {
        Chat: "chats",
        Completion: "completions",
        Passage: "texts",
        Preference: "preference pairs",
    }
    return names[type(example)]


def parse(line: bytes) -> Example | None:
    """The example on one line of JSON; None for a blank one. Raises Fault."""
    return typed(json_object(line)) if line.strip() else None


def typed(value: dict[str, Any]) -> Example:
    """The example that an object spells. Raises Fault."""
    if "preferred_output" in value or "non_preferred_output" in value:
        value = _of_openai(value)
    if "chosen" in value or "rejected" in value:
        return _preference(value)
    if "messages" in value:
        turns = _turns(value, "messages")
        return _chat(turns, _tools(value))
    if "prompt" in value or "completion" in value:
        return _answered(value, "completion")
    if "text" in value:
        return Passage(_text(value, "text"))
    raise Fault("has neither 'messages', 'prompt' and 'completion', 'chosen' and 'rejected', nor 'text'")


def _of_openai(value: dict[str, Any]) -> dict[str, Any]:
    """A preference as OpenAI's API takes it, as one of ours."""
    for key in ("input", "preferred_output", "non_preferred_output"):
        if key not in value:
            raise Fault(f"{key!r} is missing")
    given = value["input"]
    if not isinstance(given, dict) or "messages" not in given:
        raise Fault("'input' isn't an object with messages")
    chosen, rejected = value["preferred_output"], value["non_preferred_output"]
    return {"prompt": given["messages"], "tools": given.get("tools"), "chosen": chosen, "rejected": rejected}


def _preference(value: dict[str, Any]) -> Preference:
    for key in ("chosen", "rejected"):
        if key not in value:
            raise Fault(f"{key!r} is missing")
    if value["chosen"] == value["rejected"]:
        raise Fault("'chosen' and 'rejected' are the same")
    shared, chosen = value.get("prompt"), value["chosen"]
    if shared is None or (isinstance(shared, str) and isinstance(chosen, list)):
        value = _explicit(value)
    chosen, rejected = _answered(value, "chosen"), _answered(value, "rejected")
    return Preference(chosen, rejected)


def _explicit(value: dict[str, Any]) -> dict[str, Any]:
    """`value` with the prompt taken from where `chosen` and `rejected` begin alike."""
    chosen, rejected = value["chosen"], value["rejected"]
    same = 0
    if isinstance(chosen, str) and isinstance(rejected, str):
        for one, other in zip(chosen, rejected, strict=False):
            if one != other:
                break
            same += 1
        while same and not chosen[same : same + 1].isspace():  # words stay whole, with the space before them
            same -= 1
    elif isinstance(chosen, list) and isinstance(rejected, list):
        for one, other in zip(chosen, rejected, strict=False):
            if one != other:
                break
            same += 1
        if not same:
            raise Fault("has no 'prompt', and 'chosen' and 'rejected' share no first turn")
        if same == min(len(chosen), len(rejected)):
            raise Fault("one of 'chosen' and 'rejected' is where the other begins")
    else:
        raise Fault("'chosen' and 'rejected' are two strings or two lists of turns")
    return {**value, "prompt": chosen[:same], "chosen": chosen[same:], "rejected": rejected[same:]}


def _answered(value: dict[str, Any], key: str) -> Chat | Completion:
    """`prompt` and the answer under `key`: two strings, or two lists of turns of which only the second is learned."""
    if not (isinstance(value.get("prompt"), list) or isinstance(value.get(key), list)):
        return Completion(_text(value, "prompt", empty=True), _text(value, key))
    before, after = _turns(value, "prompt"), _turns(value, key)
    if before[-1][1]["role"] == "assistant" or after[0][1]["role"] != "assistant":
        raise Fault(f"{key!r} begins with an assistant turn, and 'prompt' ends before one")
    before = [(where, {**turn, "weight": 0} if turn["role"] == "assistant" else turn) for where, turn in before]
    return _chat(before + after, _tools(value))


def _text(value: dict[str, Any], key: str, *, empty: bool = False) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise Fault(f"{key!r} is missing" if key not in value else f"{key!r} isn't a string")
    if not empty and not text.strip():
        raise Fault(f"{key!r} is empty")
    return text


def _tools(value: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The tools, which may be spelled as the JSON text of a list."""
    tools = value.get("tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json_value(tools.encode())
        except Fault as fault:
            raise Fault(f"'tools' isn't a list of objects: {fault}") from None
    if tools and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise Fault("'tools' isn't a list of objects")
    return tools or None


def _turns(value: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """The turns under `key`, each with the name messages give it."""
    turns = value.get(key)
    if key not in value:
        raise Fault(f"{key!r} is missing")
    if not isinstance(turns, list) or not turns:
        raise Fault(f"{key!r} isn't a list with turns in it")
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            raise Fault(f"{key}[{index}] isn't an object")
        if turn.get("role") not in ROLES:
            role = str(turn.get("role"))[:40]
            raise Fault(f"{key}[{index}]: role {role!r} isn't one of {', '.join(ROLES)}")
    return [(f"{key}[{index}]", turn) for index, turn in enumerate(turns)]


def _chat(turns: list[tuple[str, dict[str, Any]]], tools: list[dict[str, Any]] | None) -> Chat:
    for index, (where, message) in enumerate(turns):
        if message["role"] in ("system", "developer") and index:
            raise Fault(f"{where}: a {message['role']} turn comes first or not at all")
        _message(message, where)
    messages = [message for _, message in turns]
    if not any(message["role"] == "assistant" and message.get("weight", 1) for message in messages):
        raise Fault("no assistant turn to learn from")
    return Chat(messages, tools)


def _message(message: dict[str, Any], where: str) -> None:
    role, content, calls = message["role"], message.get("content"), message.get("tool_calls")
    if calls is not None:
        _calls(calls, role, where)
    if message.get("weight", 1) not in (0, 1):
        raise Fault(f"{where}: weight is 0 or 1")
    if content is None and calls:
        return
    if not isinstance(content, str):
        raise Fault(f"{where}: content isn't a string")
    if not content.strip() and not calls and role != "tool":
        raise Fault(f"{where}: content is empty")


def _calls(calls: Any, role: str, where: str) -> None:
    if role != "assistant":
        raise Fault(f"{where}: only an assistant turn has tool_calls")
    if not isinstance(calls, list) or not calls:
        raise Fault(f"{where}: tool_calls isn't a list with calls in it")
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Fault(f"{where}: a tool call needs a function with a name")
        if not isinstance(function.get("arguments"), (str, dict)):
            raise Fault(f"{where}: a tool call's arguments are an object or its JSON text")
