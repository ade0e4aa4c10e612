"""Prompts to token ids, with the checks that go before. A long text is encoded in a thread, so others go on."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from .serving import Served

_LONG = 20_000
"""Characters from which on encoding would hold up the other requests."""


async def conversation(
    served: Served, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, *, answer: bool = True
) -> list[int]:
    """Raises RequestError, ContextLengthExceeded."""
    characters = sum(len(message.get("content") or "") for message in messages)
    served.check_length(characters, "messages")
    messages = [_with_parsed_calls(message) for message in messages]
    if characters > _LONG:
        return await asyncio.to_thread(served.text.conversation, messages, tools, answer=answer)
    return served.text.conversation(messages, tools, answer=answer)


async def raw(served: Served, prompt: str | list[int], param: str, *, special: bool = True) -> list[int]:
    """A text or token ids. Raises RequestError, ContextLengthExceeded."""
    if not isinstance(prompt, str):
        served.check_ids(prompt, param)
        return prompt
    served.check_length(len(prompt), param)
    if len(prompt) > _LONG:
        return await asyncio.to_thread(served.text.encode, prompt, special=special)
    return served.text.encode(prompt, special=special)


def _with_parsed_calls(message: dict[str, Any]) -> dict[str, Any]:
    """Chat templates take a call's arguments as an object; what doesn't parse to one stays the text it is."""
    calls = message.get("tool_calls")
    if not calls:
        return message
    return {**message, "tool_calls": [{**c, "function": _parsed(c["function"])} for c in calls]}


def _parsed(function: dict[str, Any]) -> dict[str, Any]:
    try:
        return {**function, "arguments": msgspec.json.decode(function["arguments"], type=dict[str, Any])}
    except (msgspec.MsgspecError, RecursionError):
        return function
