"""The routes that a model answers: validate, find the model, pass the bytes on as they came."""

from __future__ import annotations

from functools import partial
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
from ..protocol.refusals import refusal
from . import intake
from .answers import Answers
from .catalogue import Catalogue
from .exchange import ClientGone, Exchange, Handler, UntilGone
from .limits import Limiter
from .load import Load
from .prices import Prices
from .resources.asked import idempotency_key, principal
from .streaming import relay
from .unanswered import read
from .usage import NOTHING, StreamedUsage, counts

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
    answers: Answers,
    load: Load,
    *,
    max_body_bytes: int,
    keep_alive: float,
) -> Handler:
    kind, task = ROUTES[route]

    async def handle(exchange: Exchange) -> None:
        body = await intake.body(exchange, max_body_bytes)
        wait = intake.patience(exchange)
        key = idempotency_key(exchange)
        request = decode(kind, body)
        who = principal(exchange)
        who.check_model(request.model)
        version = await catalogue.find_for(request.model, task)
        exchange.model, exchange.base = version.name, version.base
        if key is None:
            await answer(exchange, request, body, wait)
            return
        # With a key the answer is wanted later, if not now: whoever comes again finds it.
        asking = partial(answer, exchange, request, body, wait, stays=True)
        await answers.once(exchange, who.tenant, key, route.encode() + b"\n" + body, asking)

    async def answer(
        exchange: Exchange, request: Any, body: bytes, wait: float | None, *, stays: bool = False
    ) -> None:
        await load.enter()
        try:
            await ask(exchange, request, body, wait, stays)
        finally:
            load.leave(exchange.served)

    async def ask(exchange: Exchange, request: Any, body: bytes, wait: float | None, stays: bool) -> None:
        name = exchange.model
        assert name is not None, "found before"
        price = prices.of(name, exchange.base)
        await limiter.admit(exchange, principal(exchange), request, len(body), price)
        generates = isinstance(request, ChatRequest | CompletionRequest)
        if generates and request.stream:
            usage = StreamedUsage(request, body)
            upstream = models.stream(name, route, usage.body, wait=wait)
            try:
                await relay(exchange, upstream, usage, keep_alive=keep_alive)
            except ClientGone:
                if exchange.used == NOTHING:
                    exchange.used = await read(models, name, request)
                raise
            return
        try:
            with exchange.timed(), UntilGone(exchange, stays=stays or not generates):
                reply = await models.invoke(name, route, body, wait=wait)
        except ClientGone:
            exchange.used = await read(models, name, request)
            raise
        if reply.status != 200:
            raise refusal(reply.status, reply.body)
        exchange.used = counts(reply.body)
        await exchange.answer(200, reply.body, kind=reply.content_type.encode("latin-1", "replace"))
        if exchange.gone:
            raise ClientGone

    return handle
