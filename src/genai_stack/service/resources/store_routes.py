"""/v1/vector_stores: stores, their files, batches of files, content and search."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_args

import msgspec

from ...errors import NotFound, RequestError
from ...ports import Passage, VectorIndex
from ...protocol.decoding import decode
from ...protocol.stores import (
    AttributesRequest,
    ContentPage,
    FileBatchRequest,
    FileStatus,
    SearchRequest,
    StoreFileDeleted,
    StoreFileList,
    StoreFileRequest,
    StoreRequest,
    StoreUpdate,
    TextContent,
    VectorStore,
    VectorStoreDeleted,
    VectorStoreList,
)
from .. import intake
from ..exchange import Exchange, Handler, UntilGone
from ..limits import Limiter
from ..usage import Used
from . import store_records
from .asked import idempotency_key, page, path_id, principal, query, tenant
from .indexing import Indexing
from .searching import OWN, Searching
from .shelf import Found, Kept, Page
from .store_files import StoreFiles
from .store_records import StoredStore
from .stores import Stores

STORES = "/v1/vector_stores"
FILES, BATCHES = f"{STORES}/{{id}}/files", f"{STORES}/{{id}}/file_batches"
CURSORS = ("after", "before", "limit", "order")
PATHS = {
    STORES: ("GET", "POST"),
    f"{STORES}/{{id}}": ("GET", "POST", "DELETE"),
    f"{STORES}/{{id}}/search": ("POST",),
    FILES: ("GET", "POST"),
    f"{FILES}/{{file}}": ("GET", "POST", "DELETE"),
    f"{FILES}/{{file}}/content": ("GET",),
    BATCHES: ("POST",),
    f"{BATCHES}/{{batch}}": ("GET",),
    f"{BATCHES}/{{batch}}/cancel": ("POST",),
    f"{BATCHES}/{{batch}}/files": ("GET",),
}
INDEXED = (StoreRequest, StoreFileRequest, FileBatchRequest)
"""Requests that make a model work, whose key needs money for it."""
T = TypeVar("T", bound=Kept)
Act = Callable[..., Any]


def absent() -> dict[str, dict[str, Handler]]:
    """The same paths where there is no index: they say so."""

    async def refuse(exchange: Exchange) -> None:
        raise NotFound(
            "This stage has no bucket for vectors; deploy its training stack again, which makes one.",
            code="no_vector_stores",
        )

    return {path: dict.fromkeys(methods, refuse) for path, methods in PATHS.items()}


def routes(
    stores: Stores,
    files: StoreFiles,
    index: VectorIndex,
    indexing: Indexing,
    searching: Searching,
    limiter: Limiter,
    max_body_bytes: int,
) -> dict[str, dict[str, Handler]]:
    async def body(exchange: Exchange) -> bytes:
        return await intake.body(exchange, max_body_bytes)

    def answering(act: Act, *, reads_body: type[Any] | bool = False) -> Handler:
        """A handler that answers with what `act` returns, in a thread, for a tenant."""

        async def handle(exchange: Exchange) -> None:
            if reads_body is True:
                await body(exchange)
            request = decode(reads_body, await body(exchange)) if isinstance(reads_body, type) else None
            if reads_body in INDEXED:
                await limiter.check(principal(exchange))
            indexing.attend()
            owner = tenant(exchange)
            args = (owner, exchange) if request is None else (owner, exchange, request)
            told = await asyncio.to_thread(act, *args)
            if await indexing.settled() and exchange.method == "GET":
                told = await asyncio.to_thread(act, *args)
            await exchange.answer(200, msgspec.json.encode(told))

        return handle

    def shown(owner: str, store: StoredStore) -> VectorStore:
        return store.shown(*files.counts(owner, store.id))

    def create(owner: str, exchange: Exchange, request: StoreRequest) -> VectorStore:
        return shown(owner, stores.create(owner, request, idempotency_key(exchange), principal(exchange).id))

    def list_(owner: str, exchange: Exchange) -> VectorStoreList:
        found = _turned(query(exchange, *CURSORS), lambda asked: stores.page(owner, asked))
        data = [shown(owner, store) for store in found.items]
        return VectorStoreList(data, found.has_more, *_ends(data))

    def show(owner: str, exchange: Exchange) -> VectorStore:
        return shown(owner, stores.get(owner, path_id(exchange)))

    def update(owner: str, exchange: Exchange, request: StoreUpdate) -> VectorStore:
        return shown(owner, stores.update(owner, path_id(exchange), request))

    def delete(owner: str, exchange: Exchange) -> VectorStoreDeleted:
        stores.delete(owner, path_id(exchange))
        return VectorStoreDeleted(path_id(exchange))

    async def search(exchange: Exchange) -> None:
        request = decode(SearchRequest, await body(exchange))
        wait = intake.patience(exchange)
        indexing.attend()
        who = principal(exchange)
        if (ranker := request.ranking_options and request.ranking_options.ranker) not in (None, *OWN):
            who.check_model(str(ranker), param="ranking_options.ranker")
        await limiter.check(who)
        with UntilGone(exchange):
            found, model, tokens = await searching.search(who.tenant, path_id(exchange), request, wait=wait)
        exchange.model, exchange.used = model, Used(tokens)
        await exchange.answer(200, msgspec.json.encode(found))

    def attach(owner: str, exchange: Exchange, request: StoreFileRequest) -> Any:
        store = stores.usable(owner, path_id(exchange))
        files.check_there(owner, [request.file_id], "file_id")
        files.attach(owner, store.id, store_records.wanted(request, principal(exchange).id), None)
        return files.get(owner, store.id, request.file_id).shown(store.id)

    def list_files(owner: str, exchange: Exchange) -> StoreFileList:
        return _files(owner, exchange, None)

    def batch_files(owner: str, exchange: Exchange) -> StoreFileList:
        store = stores.get(owner, path_id(exchange)).id
        return _files(owner, exchange, files.batch(owner, store, path_id(exchange, "batch")).id)

    def _files(owner: str, exchange: Exchange, batch: str | None) -> StoreFileList:
        store = stores.get(owner, path_id(exchange)).id
        given = query(exchange, *CURSORS, "filter")
        status: Any = given.get("filter")
        if status is not None and status not in get_args(FileStatus):
            raise RequestError(
                f"'filter' is one of {', '.join(get_args(FileStatus))}; correct it or leave it out.",
                param="filter",
                code="invalid_value",
            )
        found = _turned(given, lambda asked: files.page(owner, store, asked, status, batch))
        data = [kept.shown(store) for kept in found.items]
        return StoreFileList(data, found.has_more, *_ends(data))

    def show_file(owner: str, exchange: Exchange) -> Any:
        store = stores.get(owner, path_id(exchange)).id
        return files.get(owner, store, path_id(exchange, "file")).shown(store)

    def describe(owner: str, exchange: Exchange, request: AttributesRequest) -> Any:
        store = stores.get(owner, path_id(exchange)).id
        attributes = request.attributes or {}
        return files.describe(owner, store, path_id(exchange, "file"), attributes).shown(store)

    def detach(owner: str, exchange: Exchange) -> StoreFileDeleted:
        files.detach(owner, stores.get(owner, path_id(exchange)).id, path_id(exchange, "file"))
        return StoreFileDeleted(path_id(exchange, "file"))

    def content(owner: str, exchange: Exchange) -> ContentPage:
        store = stores.get(owner, path_id(exchange)).id
        kept = files.get(owner, store, path_id(exchange, "file"))
        return ContentPage([TextContent(text) for text in _whole(index.passages(store, kept.id))])

    def create_batch(owner: str, exchange: Exchange, request: FileBatchRequest) -> Any:
        store = stores.usable(owner, path_id(exchange)).id
        key, by = idempotency_key(exchange), principal(exchange).id
        batch = files.create_batch(owner, store, request.wanted, key, by)
        return batch.shown(store, files.batch_counts(owner, store, batch))

    def show_batch(owner: str, exchange: Exchange) -> Any:
        store = stores.get(owner, path_id(exchange)).id
        batch = files.batch(owner, store, path_id(exchange, "batch"))
        return batch.shown(store, files.batch_counts(owner, store, batch))

    def cancel_batch(owner: str, exchange: Exchange) -> Any:
        store = stores.get(owner, path_id(exchange)).id
        batch = files.cancel_batch(owner, store, path_id(exchange, "batch"))
        return batch.shown(store, files.batch_counts(owner, store, batch))

    handlers: list[dict[str, Callable[[Exchange], Awaitable[None]]]] = [
        {"GET": answering(list_), "POST": answering(create, reads_body=StoreRequest)},
        {
            "GET": answering(show),
            "POST": answering(update, reads_body=StoreUpdate),
            "DELETE": answering(delete),
        },
        {"POST": search},
        {"GET": answering(list_files), "POST": answering(attach, reads_body=StoreFileRequest)},
        {
            "GET": answering(show_file),
            "POST": answering(describe, reads_body=AttributesRequest),
            "DELETE": answering(detach),
        },
        {"GET": answering(content)},
        {"POST": answering(create_batch, reads_body=FileBatchRequest)},
        {"GET": answering(show_batch)},
        {"POST": answering(cancel_batch, reads_body=True)},
        {"GET": answering(batch_files)},
    ]
    return dict(zip(PATHS, handlers, strict=True))


def _turned(given: dict[str, str], look: Callable[[Page], Found[T]]) -> Found[T]:
    """A page behind `after`, or the one that ends before `before`, in the order asked."""
    before = given.get("before")
    if before is None:
        return look(page(given, default=20, most=100))
    if "after" in given:
        raise RequestError("'after' and 'before' exclude each other; send one.", param="before")
    asked = page({**given, "after": before}, default=20, most=100)
    found = look(Page(asked.limit, asked.after, "asc" if asked.order == "desc" else "desc"))
    return Found(found.items[::-1], found.has_more)


def _ends(data: list[Any]) -> tuple[str | None, str | None]:
    return (data[0].id, data[-1].id) if data else (None, None)


def _whole(passages: list[Passage]) -> list[str]:
    """What each passage adds to those before it: the text once, in its order."""
    texts, end = [], 0
    for passage in passages:
        if new := passage.text[max(end - passage.start, 0) :]:
            texts.append(new)
        end = max(end, passage.end)
    return texts
