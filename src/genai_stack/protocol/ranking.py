"""/v1/rerank, in the shape that Cohere, Jina and vLLM share: documents in the order in which they answer a query."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from .requests import ModelName

MOST_DOCUMENTS = 1000
Query = Annotated[str, Meta(min_length=1, max_length=16_384)]


class DocumentText(Struct, frozen=True, forbid_unknown_fields=True):
    text: str


class RerankRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/rerank. Without a `model` it is the first that reranks, else the first that embeds."""

    query: Query
    documents: Annotated[list[str | DocumentText], Meta(min_length=1, max_length=MOST_DOCUMENTS)]
    model: ModelName | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = True

    @property
    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]


class Ranked(Struct, frozen=True, omit_defaults=True):
    """`index` is the document's among those that were sent; a higher `relevance_score` is a better one."""

    index: int
    relevance_score: float
    document: DocumentText | None = None


class RerankUsage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class Reranked(Struct, frozen=True):
    id: str
    model: str
    results: list[Ranked]
    usage: RerankUsage
