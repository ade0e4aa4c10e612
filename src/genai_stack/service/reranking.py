"""/v1/rerank: documents in the order in which they answer a query."""

from __future__ import annotations

import secrets

import msgspec

from ..hosted import Task
from ..ports import ModelVersion
from ..protocol.decoding import decode
from ..protocol.ranking import DocumentText, Ranked, Reranked, RerankRequest, RerankUsage
from . import intake
from .exchange import Exchange, Handler, UntilGone
from .media import Asking
from .ranker import Ranker
from .usage import Used

ROUTE = "/v1/rerank"


def reranked(ranker: Ranker, asking: Asking) -> Handler:
    async def handle(exchange: Exchange) -> None:
        body = await intake.body(exchange, asking.max_body_bytes)
        wait = intake.patience(exchange)
        request = decode(RerankRequest, body)

        async def answer(version: ModelVersion) -> None:
            await rank(exchange, request, version, wait)

        tasks: tuple[Task, ...] = ("rerank", "embedding")
        size = len(body)
        await asking.model(exchange, request, request.model, *tasks, size=size, body=body, answer=answer)

    async def rank(
        exchange: Exchange, request: RerankRequest, version: ModelVersion, wait: float | None
    ) -> None:
        with exchange.timed(), UntilGone(exchange, stays=True):  # as embeddings: what was read is charged
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
