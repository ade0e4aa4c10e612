"""A question to a vector store: the passages closest by vector and by words, in one order, which a model may judge.

`auto` fuses by reciprocal rank (Cormack, Clarke, Büttcher: Reciprocal Rank Fusion, SIGIR 2009, with their 60): a
passage scores the sum of 1 / (60 + rank) over the lists it is in, as a share of what the first of each would have.
"""

from __future__ import annotations

import asyncio

from ...errors import NotFound, RequestError
from ...ports import Hit, ModelRegistry, ModelVersion, VectorIndex
from ...protocol.stores import RankingOptions, SearchPage, SearchRequest, SearchResult, TextContent
from ..ranker import Ranker
from .embedder import Embedder
from .store_files import StoreFiles
from .stores import Stores

OWN = ("auto", "none")
"""Rankers that are no models."""
RESULTS = 10
POOL = 50
"""Passages that each list has at most."""
K = 60


class Searching:
    def __init__(
        self,
        stores: Stores,
        kept: StoreFiles,
        index: VectorIndex,
        embedder: Embedder,
        registry: ModelRegistry,
        ranker: Ranker,
    ) -> None:
        self._stores, self._kept, self._index, self._embedder = stores, kept, index, embedder
        self._registry, self._ranker = registry, ranker

    async def search(
        self, tenant: str, id: str, request: SearchRequest, *, wait: float | None = None
    ) -> tuple[SearchPage, str, int]:
        """The page, the model that embedded the question, and the tokens that the models read. Raises NotFound,
        RequestError, and what the model's host does."""
        options = request.ranking_options or RankingOptions()
        store = await asyncio.to_thread(self._stores.usable, tenant, id)
        judge = None if options.ranker in OWN else await asyncio.to_thread(self._judge, options.ranker)
        asked = await self._embedder.embed(store.model, request.queries, wait=wait)
        ranked = await asyncio.to_thread(self._ranked, tenant, id, request, asked.vectors)
        tokens = asked.tokens
        if judge is not None:
            judged, read = await self._judged(judge, request.queries, [hit for hit, _ in ranked[:POOL]], wait)
            files = {hit.file.id for hit, _ in judged}
            gone = await asyncio.to_thread(self._kept.gone, tenant, id, files)  # meanwhile
            ranked = [(hit, score) for hit, score in judged if hit.file.id not in gone]
            tokens += read
        return (
            SearchPage(request.queries, _results(ranked, request, options.score_threshold)),
            store.model,
            tokens,
        )

    def _judge(self, name: str) -> ModelVersion:
        """Raises RequestError."""
        try:
            version = self._registry.get(name)
        except NotFound:
            version = None
        if version is None or version.task not in ("rerank", "embedding"):
            raise RequestError(
                f"{name[:80]!r} is no ranker here; send 'auto', 'none', or the name of a model with task 'rerank'.",
                param="ranking_options.ranker",
                code="unsupported_value",
            )
        return version

    async def _judged(
        self, judge: ModelVersion, queries: list[str], hits: list[Hit], wait: float | None
    ) -> tuple[list[tuple[Hit, float]], int]:
        """By the best score that each has for any of the queries, and the tokens read for it."""
        texts = [hit.passage.text for hit in hits]
        told = [await self._ranker.scores(judge, query, texts, wait=wait) for query in queries]
        best = [max(values) for values in zip(*(scores.values for scores in told), strict=True)]
        order = sorted(zip(hits, best, strict=True), key=lambda pair: (-pair[1], pair[0].number))
        return order, sum(scores.tokens for scores in told)

    def _ranked(
        self, tenant: str, store: str, request: SearchRequest, vectors: list[bytes]
    ) -> list[tuple[Hit, float]]:
        options = request.ranking_options or RankingOptions()
        words = options.ranker != "none"
        while True:
            lists = self._lists(store, request, vectors, words=words)
            files = {hit.file.id for hits in lists for hit in hits}
            if not self._kept.gone(tenant, store, files):
                break
        return fused(lists) if words else closest(lists)

    def _lists(
        self, store: str, request: SearchRequest, vectors: list[bytes], *, words: bool
    ) -> list[list[Hit]]:
        lists = [self._index.nearest(store, vector, POOL, request.filters) for vector in vectors]
        if words:
            lists += [self._index.matching(store, text, POOL, request.filters) for text in request.queries]
        return lists


def _results(ranked: list[tuple[Hit, float]], request: SearchRequest, threshold: float) -> list[SearchResult]:
    return [
        SearchResult(
            hit.file.id,
            hit.file.name,
            score,
            dict(hit.file.attributes),
            [TextContent(hit.passage.text)],
            [(hit.passage.start, hit.passage.end)],
        )
        for hit, score in ranked
        if score >= threshold
    ][: request.max_num_results or RESULTS]


def fused(lists: list[list[Hit]]) -> list[tuple[Hit, float]]:
    """Best first, each passage once, with scores up to 1. A list without hits has no say."""
    told = [hits for hits in lists if hits]
    scores: dict[int, float] = {}
    hits_of: dict[int, Hit] = {}
    for hits in told:
        for rank, hit in enumerate(hits, 1):
            scores[hit.number] = scores.get(hit.number, 0.0) + (K + 1) / (K + rank) / len(told)
            hits_of.setdefault(hit.number, hit)
    order = sorted(scores, key=lambda number: (-scores[number], number))
    return [(hits_of[number], min(scores[number], 1.0)) for number in order]


def closest(lists: list[list[Hit]]) -> list[tuple[Hit, float]]:
    """Best first, each passage once, with the best cosine that it has; a negative one is 0."""
    best: dict[int, Hit] = {}
    for hits in lists:
        for hit in hits:
            if hit.number not in best or hit.score > best[hit.number].score:
                best[hit.number] = hit
    order = sorted(best.values(), key=lambda hit: (-hit.score, hit.number))
    return [(hit, min(max(hit.score, 0.0), 1.0)) for hit in order]
