"""The routes that a model answers: validate, find the model, pass the bytes on as they came."""

from __future__ import annotations

from typing import Any

from ..ports import ModelHost
from ..protocol import (
    AnatomyRequest,
    ChatRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
    decode,
)
from . import intake
from .catalogue import Catalogue
from .exchange import Exchange, Handler, UntilGone
from .limits import Limiter
from .prices import Prices
from .resources.asked import principal
from .streaming import relay
from .upstream import refusal
from .usage import StreamedUsage, counts

ROUTES: dict[str, tuple[type[Any], str | None]] = {
    "/v1/chat/completions": (ChatRequest, "chat"),
    "/v1/completions": (CompletionRequest, "chat"),
    "/v1/embeddings": (EmbeddingRequest, "embedding"),
    "/v1/tokenize": (TokenizeRequest, None),
    "/v1/detokenize": (DetokenizeRequest, None),
    "/v1/anatomy": (AnatomyRequest, None),
}
"""Per route what it reads, and the task a model must be for."""


def forward(
    route: str,
    models: ModelHost,
    catalogue: Catalogue,
    limiter: Limiter,
    prices: Prices,
    *,
    max_body_bytes: int,
    keep_alive: float,
) -> Handler:
    kind, task = ROUTES[route]

    async def handle(exchange: Exchange) -> None:
        body = await intake.body(exchange, max_body_bytes)
        wait = intake.patience(exchange)
        request = decode(kind, body)
        who = principal(exchange)
        who.check_model(request.model)
        version = await catalogue.find_for(request.model, task)
        exchange.model, exchange.base = version.name, version.base
        await limiter.admit(exchange, who, request, len(body), prices.of(version.name, version.base))
        if isinstance(request, ChatRequest | CompletionRequest) and request.stream:
            usage = StreamedUsage(request, body)
            upstream = models.stream(version.name, route, usage.body, wait=wait)
            await relay(exchange, upstream, usage, keep_alive=keep_alive)
            return
        with UntilGone(exchange):
            reply = await models.invoke(version.name, route, body, wait=wait)
        if reply.status != 200:
            raise refusal(reply.status, reply.body)
        exchange.used = counts(reply.body)
        await exchange.answer(200, reply.body, kind=reply.content_type.encode("latin-1", "replace"))

    return handle
