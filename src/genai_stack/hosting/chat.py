"""`/v1/chat/completions`: a conversation in, one or more assistant messages out."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from ..protocol import ChatRequest, for_template
from .calls import CallDelta
from .choice import Choice, Piece, ShownToken, count_usage, read_pieces, usage_so_far
from .engine import Feed
from .grammar import for_chat, wants_calls
from .prompts import conversation
from .sampling import sequences
from .serving import Served
from .text import Text

_json = msgspec.json.encode
_FLOOR = -9999.0
"""Stands for minus infinity, which JSON can't say."""


async def answer(served: Served, request: ChatRequest) -> ChatAnswer:
    """Raises RequestError and its kin before anything is generated; Overloaded when the queue is full."""
    served.require_text()
    calls = wants_calls(request)
    grammar = await asyncio.to_thread(for_chat, request) if calls or request.response_format else None
    served.check_grammar(grammar)
    tools = [msgspec.to_builtins(tool) for tool in request.tools or ()] if calls else None
    prompt = await conversation(served, [for_template(m) for m in request.messages], tools)
    most = served.room(len(prompt), request.limit, "messages")
    scored = (request.top_logprobs or 0) if request.logprobs else None
    feed = await served.engine.generate(
        sequences(request, served, prompt, most, grammar=grammar, scored=scored)
    )
    return ChatAnswer(served, request, len(prompt), feed, calls=calls)


class ChatAnswer:
    """An answer under way."""

    def __init__(
        self, served: Served, request: ChatRequest, prompt_tokens: int, feed: Feed, *, calls: bool
    ) -> None:
        self._text, self._feed, self._request, self._prompt_tokens = served.text, feed, request, prompt_tokens
        self._choices = [Choice(served.text, request.stops, calls=calls) for _ in range(request.n or 1)]
        self._id, self._created = f"chatcmpl-{secrets.token_hex(16)}", int(time.time())

    async def whole(self) -> bytes:
        pieces: list[list[Piece]] = [[] for _ in self._choices]
        async for index, piece in read_pieces(self._choices, self._feed):
            pieces[index].append(piece)
        return _json(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": self._created,
                "model": self._request.model,
                "choices": [
                    self._choice(index, choice, parts)
                    for index, (choice, parts) in enumerate(zip(self._choices, pieces, strict=True))
                ],
                "usage": count_usage(self._prompt_tokens, self._choices),
            }
        )

    async def events(self) -> AsyncIterator[bytes]:
        """Tokens that are waiting together leave in one event. Only the new text is encoded for each."""
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._request.model,
        }
        prefix = b"data: " + _json(head)[:-1]
        starts = [b'%b,"choices":[{"index":%d,"delta":' % (prefix, i) for i in range(len(self._choices))]
        opened = [False] * len(starts)
        batch = b""
        async for index, piece in read_pieces(self._choices, self._feed):
            end = b"}]" + usage_so_far(self._request, self._prompt_tokens, self._choices[index]) + b"}\n\n"
            if not opened[index]:
                opened[index] = True
                batch += (
                    starts[index]
                    + b'{"role":"assistant","content":""},"logprobs":null,"finish_reason":null'
                    + end
                )
            finish = piece.finish
            for delta in _deltas(piece, finish is not None):
                logprobs = self._logprobs(piece.tokens) if piece.tokens else b"null"
                piece.tokens = []
                batch += starts[index] + delta + b',"logprobs":' + logprobs + b',"finish_reason":null' + end
            if finish is not None:
                logprobs = self._logprobs(piece.tokens) if piece.tokens else b"null"
                batch += (
                    starts[index]
                    + b'{},"logprobs":'
                    + logprobs
                    + b',"finish_reason":"%b"' % finish.encode()
                    + end
                )
            if batch and not self._feed.pending:
                yield batch
                batch = b""
        if self._request.include_usage:
            batch += (
                prefix
                + b',"choices":[],"usage":'
                + _json(count_usage(self._prompt_tokens, self._choices))
                + b"}\n\n"
            )
        yield batch + b"data: [DONE]\n\n"

    def close(self) -> None:
        self._feed.close()

    def _choice(self, index: int, choice: Choice, pieces: list[Piece]) -> dict[str, Any]:
        content = "".join(piece.text for piece in pieces)
        calls = _join([delta for piece in pieces for delta in piece.calls])
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if calls:
            message.update(content=content or None, tool_calls=calls)
        tokens = [token for piece in pieces for token in piece.tokens]
        logprobs = msgspec.Raw(self._logprobs(tokens)) if self._request.logprobs else None
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": choice.finish}

    def _logprobs(self, tokens: list[ShownToken]) -> bytes:
        content = [
            {
                **_token(self._text, token.id, token.score.logprob),
                "top_logprobs": [_token(self._text, i, logprob) for i, logprob in token.score.alternatives],
            }
            for token in tokens
        ]
        return _json({"content": content, "refusal": None})


def _token(text: Text, id: int, logprob: float) -> dict[str, Any]:
    data = text.token_bytes(id)
    return {"token": text.token_text(id), "logprob": max(logprob, _FLOOR), "bytes": list(data)}


def _deltas(piece: Piece, last: bool) -> list[bytes]:
    """The `delta` objects of a piece: its text, then what its calls gained."""
    found = [b'{"content":' + _json(piece.text) + b"}"] if piece.text or (piece.tokens and not last) else []
    for delta in piece.calls:
        function = {"arguments": delta.arguments}
        call: dict[str, Any] = {"index": delta.index, "function": function}
        if delta.id is not None:
            call = {
                "index": delta.index,
                "id": delta.id,
                "type": "function",
                "function": {"name": delta.name, **function},
            }
        found.append(_json({"tool_calls": [call]}))
    return found


def _join(deltas: list[CallDelta]) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for delta in deltas:
        if delta.id is not None:
            calls.append(
                {"id": delta.id, "type": "function", "function": {"name": delta.name, "arguments": ""}}
            )
        calls[delta.index]["function"]["arguments"] += delta.arguments
    return calls
