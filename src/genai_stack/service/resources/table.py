"""Every route over what a tenant keeps, and the handlers behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from ...config import StackConfig
from ...ports import Services
from ..charging import Charges
from ..exchange import Handler
from ..limits import Limiter
from ..ranker import Ranker
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
    ends what goes on in the background, and comes before the end of what it uses. `sweep` removes what crashes and
    expired uploads left; it waits on stores: call it in a thread. `searching` is None where there are no vector stores.
    """

    routes: dict[str, dict[str, Handler]]
    close: Callable[[], Awaitable[None]]
    sweep: Callable[[], None]
    files: Files
    searching: Searching | None = None


def resources(
    services: Services, config: StackConfig, charges: Charges, limiter: Limiter, *, settle: float = 0.0
) -> Resources:
    """`settle` is how many seconds an answer about vector stores waits for the indexing that goes on."""
    once = Once(services.records)
    files = Files(services.objects, services.records, once)
    uploads = Uploads(files, services.records, once, config.service.max_file_bytes)
    batches = Batches(
        files,
        services.records,
        services.jobs,
        services.registry,
        once,
        charges,
        services.batch_endpoints,
        config.tasks,
    )
    tuning = Tuning(files, services.records, services.jobs, services.registry, once, charges)
    most = config.service.max_body_bytes
    stored, close, searching = _stores(services, files, once, charges, limiter, most, settle)

    def sweep() -> None:
        files.unfiled.sweep()
        uploads.sweep()

    return Resources(
        {
            **file_routes.routes(files, config.service.max_file_bytes),
            **upload_routes.routes(uploads, files, most),
            **batch_routes.routes(batches, limiter, most),
            **tuning_routes.routes(tuning, limiter, most),
            **stored,
        },
        close,
        sweep,
        files,
        searching,
    )


Stored = tuple[dict[str, dict[str, Handler]], Callable[[], Awaitable[None]], Searching | None]


def _stores(
    services: Services, files: Files, once: Once, charges: Charges, limiter: Limiter, most: int, settle: float
) -> Stored:
    index, reader = services.vectors, services.reader
    if index is None or reader is None:
        return store_routes.absent(), _nothing, None
    kept = StoreFiles(files, services.records, index, once)
    stores = Stores(kept, services.records, services.registry, index, once, services.embedders)
    embedder = Embedder(services.models)
    indexing = Indexing(kept, files, index, reader, embedder, charges, settle=settle)
    ranker = Ranker(services.models)
    searching = Searching(stores, kept, index, embedder, services.registry, ranker)
    routes = store_routes.routes(stores, kept, index, indexing, searching, limiter, most)
    return routes, indexing.close, searching


async def _nothing() -> None:
    pass
