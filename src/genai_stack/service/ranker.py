"""How well documents answer a query, by a model: a cross-encoder reads each with the query; an encoder of texts
compares their vectors.

A cross-encoder is a hosted model with task "rerank", which vLLM serves under its own /v1/rerank. Where there is none,
a model with task "embedding" stands in: a score then is the cosine, and of a document longer than what the model reads
at once that of its best stretch.
"""

from __future__ import annotations

import math
import operator
from array import array
from typing import NamedTuple

import msgspec

from ..errors import EngineFailed
from ..ports import ModelHost, ModelVersion
from ..protocol.refusals import refusal
from ..protocol.stores import StaticChunking
from .resources.chunks import chunks
from .resources.embedder import Embedder

BATCH = 32
"""Texts that are embedded with one request."""
SURELY_SHORT = 400
"""Characters that any model reads at once: so short a text is embedded without a look at its tokens."""
SPARE = 16
"""Tokens by which a stretch stays under the model's window."""
WHOLE = StaticChunking(4096, 0)


class Scores(NamedTuple):
    """One for each document, in their order; `tokens` is what the model read."""

    values: list[float]
    tokens: int


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Usage(msgspec.Struct):
    total_tokens: int = 0


class _Results(msgspec.Struct):
    results: list[_Result]
    usage: _Usage = msgspec.field(default_factory=_Usage)


class Ranker:
    def __init__(self, models: ModelHost) -> None:
        self._models, self._embedder = models, Embedder(models)

    async def scores(
        self, version: ModelVersion, query: str, documents: list[str], *, wait: float | None = None
    ) -> Scores:
        """By a model with task "rerank" or "embedding". Raises what the host raises, and the model's own refusal."""
        if not documents:
            return Scores([], 0)
        judge = self._read_together if version.task == "rerank" else self._compared
        return await judge(version.name, query, documents, wait)

    async def _read_together(self, model: str, query: str, documents: list[str], wait: float | None) -> Scores:
        body = msgspec.json.encode({"model": model, "query": query, "documents": documents})
        reply = await self._models.invoke(model, "/v1/rerank", body, wait=wait)
        if reply.status != 200:
            raise refusal(reply.status, reply.body)
        try:
            found = msgspec.json.decode(reply.body, type=_Results)
        except msgspec.MsgspecError as error:
            raise EngineFailed(
                f"The model '{model}' answered /v1/rerank otherwise than asked: {error}."
            ) from None
        told = {result.index: result.relevance_score for result in found.results}
        if told.keys() != set(range(len(documents))):
            raise EngineFailed(f"The model '{model}' didn't score each document; try again.")
        return Scores([told[index] for index in range(len(documents))], found.usage.total_tokens)

    async def _compared(self, model: str, query: str, documents: list[str], wait: float | None) -> Scores:
        texts, owners = [query], [-1]
        for index, document in enumerate(documents):
            stretches = await self._stretches(model, document)
            texts += stretches
            owners += [index] * len(stretches)
        vectors: list[array[float]] = []
        tokens = 0
        for start in range(0, len(texts), BATCH):
            found = await self._embedder.embed(model, texts[start : start + BATCH], wait=wait)
            vectors += [array("f", vector) for vector in found.vectors]
            tokens += found.tokens
        values = [0.0] * len(documents)
        for index, vector in zip(owners[1:], vectors[1:], strict=True):
            values[index] = max(values[index], _cosine(vectors[0], vector))
        return Scores(values, tokens)

    async def _stretches(self, model: str, document: str) -> list[str]:
        """Each short enough for the model; none where there are no words."""
        if len(document) <= SURELY_SHORT:
            return [document] if document.strip() else []
        tokens, longest = await self._embedder.tokens(model, document)
        window = max(longest - SPARE, SPARE)
        return [stretch for chunk in chunks(document, tokens, WHOLE, window) for stretch in chunk.stretches]


def _cosine(one: array[float], other: array[float]) -> float:
    """A negative one is 0."""
    length = math.sqrt(_product(one, one) * _product(other, other))
    return min(max(_product(one, other) / length, 0.0), 1.0) if length else 0.0


def _product(one: array[float], other: array[float]) -> float:
    return float(sum(map(operator.mul, one, other)))
