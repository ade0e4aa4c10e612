"""`POST /invocations`: one OpenAI request, whichever route it names, answered whole or as server-sent events."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from ..errors import EngineFailed, GenAIStackError, NotFound, RequestError, TooLarge
from ..protocol import (
    AnatomyRequest,
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
    decode,
    problems,
)
from . import anatomy, chat, completions, embeddings, tokens
from .answer import Answer
from .fleet import Fleet
from .serving import Served

ROUTES: dict[str, tuple[type[Any], Callable[[Served, Any], Awaitable[Answer]]]] = {
    "/v1/chat/completions": (ChatRequest, chat.answer),
    "/v1/completions": (CompletionRequest, completions.answer),
    "/v1/embeddings": (EmbeddingRequest, embeddings.answer),
    "/v1/tokenize": (TokenizeRequest, tokens.tokenize),
    "/v1/detokenize": (DetokenizeRequest, tokens.detokenize),
    "/v1/anatomy": (AnatomyRequest, anatomy.answer),
}
MAX_BODY = 32 * 1024 * 1024
"""Bytes; a longer body gets 413."""
_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"


class Invocations:
    """An ASGI application of its own: a token on its way out passes no framework."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.requests = 0
        self.failures = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A client that goes away ends its request, and with it the generation."""
        self.requests += 1
        try:
            body = await _read(receive)
        except RequestError as error:
            await _fail(send, error)
            return
        if body is None:
            return
        answering = asyncio.create_task(self._answer(_route(scope), body, send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not answering.done():
                answering.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, route: str | None, body: bytes, send: Send) -> None:
        started = False
        try:
            kind, handler = ROUTES[_known(route or _guess(body))]
            request = decode(kind, body)
            async with self._fleet.using(request.model) as served:
                answer = await handler(served, request)
                try:
                    if getattr(request, "stream", None):
                        started = True
                        await send(
                            _start(200, b"text/event-stream; charset=utf-8", [(b"cache-control", b"no-cache")])
                        )
                        async for events in answer.events():
                            await send({"type": "http.response.body", "body": events, "more_body": True})
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
                    else:
                        await _whole(send, 200, await answer.whole())
                finally:
                    answer.close()
        except Exception as error:
            self.failures += 1
            problem = error if isinstance(error, GenAIStackError) else _unexpected(error)
            if started:
                await send({"type": "http.response.body", "body": problems.event(problem), "more_body": False})
            else:
                await _fail(send, problem)


def _known(route: str) -> str:
    if route not in ROUTES:
        raise NotFound(f"There is no route '{route}'; use one of {', '.join(ROUTES)}.", code="unknown_route")
    return route


def _route(scope: Scope) -> str | None:
    """What `route=` says in SageMaker's custom attributes."""
    for name, value in scope["headers"]:
        if name == _ATTRIBUTES:
            for part in value.decode("latin-1").split(","):
                key, _, route = part.partition("=")
                if key.strip() == "route":
                    return str(route.strip())
    return None


class _Shape(msgspec.Struct):
    messages: Any = None
    prompt: Any = None
    input: Any = None


def _guess(body: bytes) -> str:
    """The route that a body without one is meant for."""
    try:
        shape = msgspec.json.decode(body, type=_Shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "/v1/chat/completions"
    if shape.messages is None and shape.prompt is not None:
        return "/v1/completions"
    if shape.messages is None and shape.input is not None:
        return "/v1/embeddings"
    return "/v1/chat/completions"


def _unexpected(error: Exception) -> GenAIStackError:
    traceback.print_exception(error, file=sys.stderr)
    return EngineFailed("The model server failed on this request; see its log.", code="internal_error")


async def _read(receive: Receive) -> bytes | None:
    """None when the client left before the body was in. Raises TooLarge."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MAX_BODY:
            raise TooLarge(f"The body is over {MAX_BODY} bytes; send less at a time.")
        if not message.get("more_body"):
            return b"".join(parts)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _start(status: int, content_type: bytes, extra: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(b"content-type", content_type), *extra],
    }


async def _whole(send: Send, status: int, body: bytes, extra: list[tuple[bytes, bytes]] | None = None) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send(_start(status, b"application/json", [length, *(extra or [])]))
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _fail(send: Send, error: GenAIStackError) -> None:
    extra = [(name.encode(), value.encode()) for name, value in problems.headers(error)]
    await _whole(send, error.status, problems.body(error), extra)
