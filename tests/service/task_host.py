"""A model host that reads what it is asked: it has a window, counts words as tokens, and says what it is told to."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from genai_stack.ports import Reply, ReplyStream
from tests.service.fakes import CHAT, FakeHost, _Stream, sse

Say = Callable[[dict[str, Any]], str]
WINDOW = 600


def asked(body: dict[str, Any]) -> str:
    """The last turn."""
    return str(body["messages"][-1]["content"])


def fitting(body: dict[str, Any]) -> str:
    """Something that fits the schema that was sent, as a model held to it would write; else a few words."""
    form = body.get("response_format")
    return json.dumps(_example(form["json_schema"]["schema"])) if form else "So it is."


def _example(schema: dict[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][-1]
    if schema.get("type") == "object":
        return {name: _example(each) for name, each in schema.get("properties", {}).items()}
    return {"string": "x", "boolean": True, "integer": 7, "array": []}.get(schema["type"])


class ReadingHost(FakeHost):
    """`say` has the words for a chat; `probability` is that of each of their characters, None where none are told.
    `finish` is how an answer ends. `bodies` are the chats that were answered, `refused` counts those too long."""

    def reset(self) -> None:
        super().reset()
        self.say: Say = fitting
        self.finish = "stop"
        self.probability: float | None = 0.5
        self.window = WINDOW
        self.counts = True
        self.bodies: list[dict[str, Any]] = []
        self.refused = 0

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        if self.failure is not None:
            raise self.failure
        told = json.loads(body)
        if route == "/v1/tokenize":
            if not self.counts:
                return _reply({"error": {"message": "no such route", "code": "unknown_route"}}, 404)
            return _reply({"count": _words(told["prompt"]), "max_model_len": self.window, "tokens": []})
        if (problem := self._too_long(told)) is not None:
            return problem
        self.bodies.append(told)
        text = self.say(told)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": self.finish,
            "logprobs": self._logprobs(text) if told.get("logprobs") else None,
        }
        return _reply({"choices": [choice], "usage": _usage(told, text)})

    @asynccontextmanager
    async def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AsyncIterator[ReplyStream]:
        told = json.loads(body)
        if (problem := self._too_long(told)) is not None:
            refusal = _Stream(self, [problem.body])
            refusal.status = problem.status
            yield cast(ReplyStream, refusal)
            return
        self.bodies.append(told)
        text = self.say(told)
        deltas: list[Any] = [
            {"choices": [{"index": 0, "delta": {"content": piece}, "logprobs": self._logprobs(piece)}]}
            for piece in re.findall(r"\S+\s*|\s+", text)
        ]
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish}]}
        whole = b"".join(sse(*deltas, end, {"choices": [], "usage": _usage(told, text)}))
        if self.failure is not None:
            script: list[Any] = [b"".join(sse(*deltas, done=False)), self.failure]
        else:
            script = [whole[at : at + 7] for at in range(0, len(whole), 7)]  # events end anywhere
        yield cast(ReplyStream, _Stream(self, script))

    def _too_long(self, told: dict[str, Any]) -> Reply | None:
        prompt = sum(_words(message["content"]) for message in told["messages"])
        if prompt + (told.get("max_tokens") or 1) <= self.window:
            return None
        self.refused += 1
        message = f"This model's maximum context length is {self.window} tokens."
        return _reply(
            {"error": {"message": message, "param": "messages", "code": "context_length_exceeded"}}, 400
        )

    def _logprobs(self, text: str) -> Any:
        if self.probability is None:
            return None
        logprob = math.log(self.probability)
        return {"content": [{"token": c, "logprob": logprob, "top_logprobs": []} for c in text]}


def _words(text: str) -> int:
    return len(text.split())


def _usage(told: dict[str, Any], text: str) -> dict[str, int]:
    prompt = sum(_words(message["content"]) for message in told["messages"])
    return {"prompt_tokens": prompt, "completion_tokens": _words(text), "total_tokens": prompt + _words(text)}


def _reply(body: Any, status: int = 200) -> Reply:
    return Reply(status, "application/json", json.dumps(body).encode())


__all__ = ["CHAT", "WINDOW", "ReadingHost", "asked", "fitting"]
