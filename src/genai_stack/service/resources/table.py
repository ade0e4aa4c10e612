"""Every route over what a tenant keeps, and the handlers behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ...config import StackConfig
from ...ports import Services
from ...protocol.stores import SearchRequest, SearchResult
from ..charging import Charges
from ..exchange import Handler
from ..limits import Limiter
from . import batch_routes, file_routes, store_routes, tuning_routes, upload_routes
from .batches import Batches
from .embedder import Embedder
from .files import Files
from .indexing import Indexing
from .once import Once
from .searching import Searching
from .store_files import StoreFiles
from .stores import Stores
from .tuning import Tuning
from .uploads import Uploads


class Resources(NamedTuple):
    """`routes` are handlers by path and method; none of them asks for a key: the application does, before them. `close`
    ends what goes on in the background, and comes before the end of what it uses."""

    routes: dict[str, dict[str, Handler]]
    close: Callable[[], Awaitable[None]]
    search: Callable[[str, str, SearchRequest, float | None], Awaitable[list[SearchResult]]] | None = None
    """What a tenant's vector store finds, waiting so long for its embedding model; None where there are none."""


def resources(services: Services, config: StackConfig, charges: Charges, limiter: Limiter) -> Resources:
    once = Once(services.records)
    files = Files(services.objects, services.records, once)
    uploads = Uploads(files, services.records, once, config.service.max_file_bytes)
    batches = Batches(files, services.records, services.jobs, services.registry, once, charges, config.tasks)
    tuning = Tuning(files, services.records, services.jobs, services.registry, once, charges)
    most = config.service.max_body_bytes
    stored = _stores(services, files, once, most)
    return Resources(
        {
            **file_routes.routes(files, config.service.max_file_bytes),
            **upload_routes.routes(uploads, files, most),
            **batch_routes.routes(batches, limiter, most),
            **tuning_routes.routes(tuning, limiter, most),
            **stored.routes,
        },
        stored.close,
        stored.search,
    )


def _stores(services: Services, files: Files, once: Once, most: int) -> Resources:
    index, reader = services.vectors, services.reader
    if index is None or reader is None:
        return Resources(store_routes.absent(), _nothing)
    kept = StoreFiles(files, services.records, index, once)
    stores = Stores(kept, services.records, services.registry, index, once)
    embedder = Embedder(services.models)
    indexing = Indexing(kept, files, index, reader, embedder)
    searching = Searching(stores, kept, index, embedder)

    async def search(tenant: str, id: str, request: SearchRequest, wait: float | None) -> list[SearchResult]:
        indexing.attend()
        found, _, _ = await searching.search(tenant, id, request, wait=wait)
        return found.data

    routes = store_routes.routes(stores, kept, index, indexing, searching, most)
    return Resources(routes, indexing.close, search)


async def _nothing() -> None:
    pass
