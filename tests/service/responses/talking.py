"""A model host that says what it is told to, counts words as tokens, and embeds by words."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from genai_stack.ports import Reply, ReplyStream
from tests.service.fakes import CHAT, sse
from tests.service.resources.embedding import WordHost, _reply

WORDS = re.compile(r"\w+|[^\w\s]")


class TalkHost(WordHost):
    """`says` makes the answer from the chat request: a text, events, or bytes as they are. `window` is in
    words. A stream waits before its last event while `hanging` is set. `counts`: there is a /v1/tokenize."""

    def __init__(self) -> None:
        super().__init__()
        self.calm()

    def calm(self) -> None:
        self.reset()
        self.says: Callable[[dict[str, Any]], Any] = lambda asked: "Hello there"
        self.window = 10_000
        self.hanging = False
        self.counts = True
        self.running = 0

    @property
    def chats(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, route, body in self.seen if route == "/v1/chat/completions"]

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        asked = json.loads(body)
        if route == "/v1/tokenize" and "messages" in asked:
            if not self.counts:
                return Reply(404, "application/json", b'{"error": {"message": "no such route"}}')
            count = sum(len(WORDS.findall(str(m["content"]))) for m in asked["messages"])
            return _reply({"count": count, "max_model_len": self.window, "tokens": []})
        return await super().invoke(model, route, body, wait=wait)

    @asynccontextmanager
    async def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AsyncIterator[ReplyStream]:
        said = self.says(json.loads(body))
        events = chat(said) if isinstance(said, str) else said
        self.script = [said] if isinstance(said, bytes) else sse(*events)
        self.running += 1
        try:
            async with super().stream(model, route, body, wait=wait) as stream:
                yield _Waiting(self, stream)  # type: ignore[misc]
        finally:
            self.running -= 1


class _Waiting:
    def __init__(self, host: TalkHost, stream: ReplyStream) -> None:
        self.status, self.content_type = stream.status, stream.content_type
        self._host, self._stream = host, stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            while self._host.hanging and b"[DONE]" in data:  # noqa: ASYNC110 - set from another thread
                await asyncio.sleep(0.005)
            yield data


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": CHAT,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **more}],
    }


def used(prompt: int = 7, completion: int = 2, cached: int = 3) -> dict[str, Any]:
    counted = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    return {**chunk({}), "choices": [], "usage": counted}


def chat(text: str, finish: str = "stop") -> list[dict[str, Any]]:
    pieces = re.findall(r"\S+\s*", text)
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": piece}) for piece in pieces),
        chunk({}, finish),
        used(),
    ]


def calling(*calls: tuple[str, str]) -> list[dict[str, Any]]:
    events = [chunk({"role": "assistant", "content": ""})]
    for index, (name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        first = {"index": index, "id": f"call_{index}", "type": "function"}
        events.append(chunk({"tool_calls": [{**first, "function": {"name": name, "arguments": ""}}]}))
        events += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
            for part in (arguments[:half], arguments[half:])
        ]
    return [*events, chunk({}, "tool_calls"), used()]
