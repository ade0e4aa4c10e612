"""A question to a vector store: the passages closest by vector and by words, in one order.

`auto` fuses by reciprocal rank (Cormack, Clarke, Büttcher: Reciprocal Rank Fusion, SIGIR 2009, with their 60): a
passage scores the sum of 1 / (60 + rank) over the lists it is in, as a share of what the first of each would have.
"""

from __future__ import annotations

import asyncio

from ...ports import Hit, VectorIndex
from ...protocol.stores import RankingOptions, SearchPage, SearchRequest, SearchResult, TextContent
from .embedder import Embedder
from .store_files import StoreFiles
from .stores import Stores

RESULTS = 10
POOL = 50
"""Passages that each list has at most."""
K = 60


class Searching:
    def __init__(self, stores: Stores, kept: StoreFiles, index: VectorIndex, embedder: Embedder) -> None:
        self._stores, self._kept, self._index, self._embedder = stores, kept, index, embedder

    async def search(
        self, tenant: str, id: str, request: SearchRequest, *, wait: float | None = None
    ) -> tuple[SearchPage, str, int]:
        """The page, the model that embedded the question, and the question's tokens. Raises NotFound, RequestError, and
        what the model's host does."""
        store = await asyncio.to_thread(self._stores.usable, tenant, id)
        asked = await self._embedder.embed(store.model, request.queries, wait=wait)
        found = await asyncio.to_thread(self._ranked, tenant, id, request, asked.vectors)
        return SearchPage(request.queries, found), store.model, asked.tokens

    def _ranked(
        self, tenant: str, store: str, request: SearchRequest, vectors: list[bytes]
    ) -> list[SearchResult]:
        options = request.ranking_options or RankingOptions()
        while True:
            lists = self._lists(store, request, vectors, words=options.ranker == "auto")
            files = {hit.file.id for hits in lists for hit in hits}
            if not self._kept.gone(tenant, store, files):
                break
        ranked = fused(lists) if options.ranker == "auto" else closest(lists)
        most = request.max_num_results or RESULTS
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
            if score >= options.score_threshold
        ][:most]

    def _lists(
        self, store: str, request: SearchRequest, vectors: list[bytes], *, words: bool
    ) -> list[list[Hit]]:
        lists = [self._index.nearest(store, vector, POOL, request.filters) for vector in vectors]
        if words:
            lists += [self._index.matching(store, text, POOL, request.filters) for text in request.queries]
        return lists


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
