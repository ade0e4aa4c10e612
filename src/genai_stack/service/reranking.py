"""/v1/rerank: documents in the order in which they answer a query."""

from __future__ import annotations

import secrets

import msgspec

from ..protocol.decoding import decode
from ..protocol.ranking import DocumentText, Ranked, Reranked, RerankRequest, RerankUsage
from . import intake
from .catalogue import Catalogue
from .exchange import Exchange, Handler, UntilGone
from .limits import Limiter
from .needs import model_for
from .prices import Prices
from .ranker import Ranker
from .resources.asked import principal
from .usage import Used

ROUTE = "/v1/rerank"


def reranked(
    ranker: Ranker, catalogue: Catalogue, limiter: Limiter, prices: Prices, max_body_bytes: int
) -> Handler:
    async def handle(exchange: Exchange) -> None:
        body = await intake.body(exchange, max_body_bytes)
        wait = intake.patience(exchange)
        request, who = decode(RerankRequest, body), principal(exchange)
        version = await model_for(catalogue, who, request.model, "rerank", "embedding")
        exchange.model, exchange.base = version.name, version.base
        await limiter.admit(exchange, who, request, len(body), prices.of(version.name, version.base))
        with UntilGone(exchange):
            scores = await ranker.scores(version, request.query, request.texts, wait=wait)
        exchange.used = Used(scores.tokens)
        texts = request.texts
        order = sorted(range(len(texts)), key=lambda index: (-scores.values[index], index))[: request.top_n]
        results = [
            Ranked(
                index,
                scores.values[index],
                DocumentText(texts[index]) if request.return_documents else None,
            )
            for index in order
        ]
        usage = RerankUsage(scores.tokens, scores.tokens)
        answer = Reranked(f"rerank-{secrets.token_hex(12)}", version.name, results, usage)
        await exchange.answer(200, msgspec.json.encode(answer))

    return handle
