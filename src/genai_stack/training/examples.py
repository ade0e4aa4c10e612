"""Training data as lines of JSON: read, checked and typed. Knows no tokenizer.

A line is `{"messages": [...], "tools"?: [...]}`, `{"prompt": "...", "completion": "..."}` or `{"text": "..."}`; other
keys beside these are ignored. A file is checked whole before any of it is learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..errors import InvalidData

LINE_BYTES = 1 << 20
"""A line over this many bytes is a fault."""
FAULTS_SHOWN = 20
ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Chat:
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Completion:
    prompt: str
    completion: str


@dataclass(frozen=True)
class Passage:
    text: str


Example = Chat | Completion | Passage


class Fault(ValueError):
    """Why a line can't be learned from."""


def read(path: Path) -> Iterator[Example]:
    """The examples of a JSONL file, in order and in constant memory.

    Blank lines are skipped. Faulty lines are left out while the rest is read; then InvalidData lists the first 20 of
    them with their line numbers (1-based). A file without an example raises it too.
    """
    faults: list[str] = []
    count, found = 0, False
    try:
        lines = path.open("rb")
    except OSError as error:
        raise InvalidData(f"{path}: {error.strerror}; give the path of a JSONL file") from None
    with lines:
        for number, line in _lines(lines):
            try:
                if line is None:
                    raise Fault(f"longer than {LINE_BYTES} bytes")
                example = parse(line)
            except Fault as fault:
                count += 1
                if count <= FAULTS_SHOWN:
                    faults.append(f"line {number}: {fault}")
                continue
            if example is not None:
                found = True
                yield example
    if count:
        more = f"\n  and {count - FAULTS_SHOWN} more" if count > FAULTS_SHOWN else ""
        raise InvalidData(f"{path}: {count} faulty line{'s'[: count > 1]}\n  " + "\n  ".join(faults) + more)
    if not found:
        raise InvalidData(f"{path}: no example in it; each line is one JSON object")


def _lines(stream: Any) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines; None for one that is too long, whose rest is passed over unread."""
    number = 0
    while line := stream.readline(LINE_BYTES + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) <= LINE_BYTES:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LINE_BYTES)
        yield number, None


def parse(line: bytes) -> Example | None:
    """The example on one line; None for a blank one. Raises Fault."""
    if not line.strip():
        return None
    try:
        line.decode()
        value = msgspec.json.decode(line)
    except UnicodeDecodeError as error:
        raise Fault(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except msgspec.DecodeError as error:
        raise Fault(f"not JSON: {error}") from None
    except RecursionError:
        raise Fault("nested too deeply") from None
    if not isinstance(value, dict):
        raise Fault("not a JSON object")
    if "messages" in value:
        return _chat(value)
    if "prompt" in value or "completion" in value:
        return Completion(_text(value, "prompt", empty=True), _text(value, "completion"))
    if "text" in value:
        return Passage(_text(value, "text"))
    raise Fault("has neither 'messages', 'prompt' and 'completion', nor 'text'")


def _text(value: dict[str, Any], key: str, *, empty: bool = False) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise Fault(f"{key!r} is missing" if key not in value else f"{key!r} isn't a string")
    if not empty and not text.strip():
        raise Fault(f"{key!r} is empty")
    return text


def _chat(value: dict[str, Any]) -> Chat:
    messages, tools = value["messages"], value.get("tools")
    if not isinstance(messages, list) or not messages:
        raise Fault("'messages' isn't a list with turns in it")
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise Fault("'tools' isn't a list of objects")
    for index, message in enumerate(messages):
        _message(message, index)
    if not any(message["role"] == "assistant" and message.get("weight", 1) for message in messages):
        raise Fault("no assistant turn to learn from")
    return Chat(messages, tools or None)


def _message(message: Any, index: int) -> None:
    where = f"messages[{index}]"
    if not isinstance(message, dict):
        raise Fault(f"{where} isn't an object")
    role, content, calls = message.get("role"), message.get("content"), message.get("tool_calls")
    if role not in ROLES:
        raise Fault(f"{where}: role {role!r} isn't one of {', '.join(ROLES)}")
    if role in ("system", "developer") and index:
        raise Fault(f"{where}: a {role} turn comes first or not at all")
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
