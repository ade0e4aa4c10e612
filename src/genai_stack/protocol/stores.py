"""OpenAI's vector stores, as they go over the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ..errors import RequestError
from . import filters
from .files import FileId
from .filters import Attributes, Filter
from .requests import Metadata, ModelName

BATCH_FILES = 2000
QUERY_CHARACTERS = 4096
Name = Annotated[str, Meta(max_length=256)]
FileStatus = Literal["in_progress", "completed", "cancelled", "failed"]


class StaticChunking(Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens are the embedding model's. The overlap is at most half of the size."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)] = 800
    chunk_overlap_tokens: Annotated[int, Meta(ge=0, le=2048)] = 400


class Static(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="static"):
    static: StaticChunking


class Auto(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="auto"):
    """800 tokens, of which 400 overlap."""


Chunking = Static | Auto


class StoreExpiry(Struct, frozen=True, forbid_unknown_fields=True):
    """When a store's content goes: `days` after the last search, or the last file that came."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class StoreRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/vector_stores."""

    name: Name | None = None
    description: Annotated[str, Meta(max_length=1024)] | None = None
    file_ids: Annotated[list[FileId], Meta(max_length=BATCH_FILES)] | None = None
    chunking_strategy: Chunking | None = None
    expires_after: StoreExpiry | None = None
    metadata: Metadata | None = None


class StoreUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/vector_stores/{id}: what is left out stays, null takes it away."""

    name: Name | UnsetType | None = UNSET
    expires_after: StoreExpiry | UnsetType | None = UNSET
    metadata: Metadata | UnsetType | None = UNSET


class FileCounts(Struct, frozen=True):
    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class VectorStore(Struct, frozen=True):
    """Times are Unix seconds. `usage_bytes` is what its texts and vectors take."""

    id: str
    created_at: int
    name: str
    description: str | None
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["in_progress", "completed", "expired"]
    last_active_at: int
    expires_after: StoreExpiry | None = None
    expires_at: int | None = None
    metadata: Metadata | None = None
    object: Literal["vector_store"] = "vector_store"


class VectorStoreList(Struct, frozen=True):
    data: list[VectorStore]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None
    object: Literal["list"] = "list"


class VectorStoreDeleted(Struct, frozen=True):
    id: str
    deleted: bool = True
    object: Literal["vector_store.deleted"] = "vector_store.deleted"


class StoreFileRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/vector_stores/{id}/files."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None


class AttributesRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/vector_stores/{id}/files/{file_id}: all attributes anew."""

    attributes: Attributes | None


class FileFault(Struct, frozen=True):
    code: Literal["server_error", "unsupported_file", "invalid_file"]
    message: str


class StoreFile(Struct, frozen=True):
    """`id` is the file's own."""

    id: str
    created_at: int
    vector_store_id: str
    status: FileStatus
    usage_bytes: int
    chunking_strategy: Static
    attributes: dict[str, Any]
    last_error: FileFault | None = None
    object: Literal["vector_store.file"] = "vector_store.file"


class StoreFileList(Struct, frozen=True):
    data: list[StoreFile]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None
    object: Literal["list"] = "list"


class StoreFileDeleted(Struct, frozen=True):
    id: str
    deleted: bool = True
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"


class FileBatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/vector_stores/{id}/file_batches: `file_ids`, which share the settings, or `files` with their own."""

    file_ids: Annotated[list[FileId], Meta(min_length=1, max_length=BATCH_FILES)] | None = None
    files: Annotated[list[StoreFileRequest], Meta(min_length=1, max_length=BATCH_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None

    @property
    def wanted(self) -> list[StoreFileRequest]:
        if self.files is not None:
            return self.files
        return [StoreFileRequest(id, self.attributes, self.chunking_strategy) for id in self.file_ids or ()]


class FileBatch(Struct, frozen=True):
    id: str
    created_at: int
    vector_store_id: str
    status: FileStatus
    file_counts: FileCounts
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"


class RankingOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`auto` fuses the ranks by vectors and by words (BM25); `none` ranks by the vectors' cosine alone. Any other
    ranker is the name of a model that /v1/rerank takes, which scores what `auto` finds."""

    ranker: ModelName = "auto"
    score_threshold: Annotated[float, Meta(ge=0, le=1)] = 0.0


class SearchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/vector_stores/{id}/search."""

    query: (
        Annotated[str, Meta(min_length=1, max_length=QUERY_CHARACTERS)]
        | Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=QUERY_CHARACTERS)]],
            Meta(min_length=1, max_length=8),
        ]
    )
    filters: Filter | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: RankingOptions | None = None
    rewrite_query: bool | None = None

    @property
    def queries(self) -> list[str]:
        return [self.query] if isinstance(self.query, str) else self.query


class TextContent(Struct, frozen=True):
    text: str
    type: Literal["text"] = "text"


class SearchResult(Struct, frozen=True):
    """`score` is 0 to 1, best first. `spans` are the characters [start, end) of the file's text that each content
    stands for."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Any]
    content: list[TextContent]
    spans: list[tuple[int, int]]


class SearchPage(Struct, frozen=True):
    search_query: list[str]
    data: list[SearchResult]
    has_more: bool = False
    next_page: None = None
    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"


class ContentPage(Struct, frozen=True):
    """A file's text, whole: the contents one after the other."""

    data: list[TextContent]
    has_more: bool = False
    next_page: None = None
    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"


def check_store(request: StoreRequest) -> None:
    check_chunking(request.chunking_strategy)


def check_store_file(request: StoreFileRequest) -> None:
    check_chunking(request.chunking_strategy)


def check_file_batch(request: FileBatchRequest) -> None:
    check_chunking(request.chunking_strategy)
    if (request.files is None) == (request.file_ids is None):
        raise _invalid("file_ids", "or 'files' must come, one of the two; send one and leave the other out")
    if request.files is not None:
        for name in ("attributes", "chunking_strategy"):
            if getattr(request, name) is not None:
                raise _invalid(name, "goes with 'file_ids' only; give it to each of the 'files'")
    for item in request.files or ():
        check_chunking(item.chunking_strategy)
    if len({item.file_id for item in request.wanted}) < len(request.wanted):
        raise _invalid("file_ids" if request.files is None else "files", "names a file twice; name each once")


def check_search(request: SearchRequest) -> None:
    if request.rewrite_query:
        raise RequestError(
            "'rewrite_query' isn't supported: queries are searched as they are; send false or leave it out.",
            param="rewrite_query",
            code="unsupported_parameter",
        )
    if any(not query.strip() for query in request.queries):
        raise _invalid("query", "is blank; send some words")
    if request.filters is not None:
        filters.check(request.filters)


def check_chunking(strategy: Chunking | None) -> None:
    if isinstance(strategy, Static):
        asked = strategy.static
        if asked.chunk_overlap_tokens * 2 > asked.max_chunk_size_tokens:
            raise _invalid(
                "chunking_strategy.static.chunk_overlap_tokens",
                f"is over half of max_chunk_size_tokens ({asked.max_chunk_size_tokens}); lower it",
            )


def _invalid(param: str, what: str) -> RequestError:
    return RequestError(f"'{param}' {what}.", param=param, code="invalid_value")
