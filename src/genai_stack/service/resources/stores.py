"""A tenant's vector stores. A store is a record, and a part of the index that is made by its first file.

On the way out the record is marked first: what is marked is gone for every reader, and whoever comes across it finishes
the removal. A store that has expired keeps its record and loses what it holds."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from ...errors import NotFound, RequestError
from ...ports import ModelRegistry, RecordStore, VectorIndex
from ...protocol.stores import StoreRequest, StoreUpdate
from .once import Once, gone
from .shelf import Found, Page, Shelf
from .store_files import StoreFiles
from .store_records import StoredStore, Wanted, chunking_of

ACTIVE_SECONDS = 60
"""How exactly the time of a store's last use is kept: not every search should wait for a disk."""


class Stores:
    """All of it waits on stores: call it in a thread."""

    def __init__(
        self,
        files: StoreFiles,
        records: RecordStore,
        registry: ModelRegistry,
        index: VectorIndex,
        once: Once,
        embedders: tuple[str, ...] | None = None,
    ) -> None:
        self._files, self._registry, self._index, self._once = files, registry, index, once
        self._embedders = embedders
        self._shelf = Shelf(records, StoredStore, "vector-stores", "vs_", "vector store")
        files.find_store, files.store_there = self.find, self._there

    def create(
        self, tenant: str, request: StoreRequest, key: bytes | None, by: str | None = None
    ) -> StoredStore:
        """Raises NotFound for a file, RequestError where no model embeds, Conflict."""
        claim = self._once.claim(tenant, key, f"stores {request}", self._shelf.new_id())
        if self._shelf.find(tenant, claim.id) is None:
            if claim.made:
                raise gone(claim)
            ids = tuple(dict.fromkeys(request.file_ids or ()))
            self._files.check_there(tenant, ids, "file_ids")
            now = int(time.time())
            chunking = chunking_of(request.chunking_strategy)
            store = StoredStore(
                claim.id, now, request.name or "", request.description, self._embedder(), now,
                request.expires_after, request.metadata, tuple(Wanted(id, {}, chunking, by) for id in ids),
            )  # fmt: skip
            self._shelf.add(tenant, store)
        self._once.made(tenant, key, claim)
        return self.get(tenant, claim.id)

    def find(self, tenant: str, id: str) -> StoredStore | None:
        """None for one that is being removed."""
        store = self._shelf.find(tenant, id)
        return self._looked_at(tenant, store) if store is not None else None

    def get(self, tenant: str, id: str) -> StoredStore:
        """Raises NotFound."""
        if (store := self.find(tenant, id)) is None:
            raise self._shelf.absent(id)
        return store

    def usable(self, tenant: str, id: str) -> StoredStore:
        """One that was used just now. Raises NotFound, and RequestError for one that has expired."""
        store = self.get(tenant, id)
        if store.expired:
            raise RequestError(
                "This vector store has expired and holds nothing any more; make another.",
                code="vector_store_expired",
            )
        now = int(time.time())
        if now - store.last_active_at < ACTIVE_SECONDS:
            return store
        return self._shelf.change(tenant, id, lambda was: msgspec.structs.replace(was, last_active_at=now))

    def page(self, tenant: str, page: Page) -> Found[StoredStore]:
        looked: dict[str, StoredStore] = {}

        def keep(store: StoredStore) -> bool:
            if (now := self._looked_at(tenant, store)) is not None:
                looked[store.id] = now
            return now is not None

        found = self._shelf.page(tenant, page, keep)
        return Found([looked[store.id] for store in found.items], found.has_more)

    def update(self, tenant: str, id: str, request: StoreUpdate) -> StoredStore:
        """Raises NotFound."""
        given = {name: value for name in ("name", "expires_after", "metadata")
                 if (value := getattr(request, name)) is not msgspec.UNSET}  # fmt: skip
        if "name" in given:
            given["name"] = given["name"] or ""
        self.get(tenant, id)
        self._shelf.change(tenant, id, lambda now: msgspec.structs.replace(now, **given))
        return self.get(tenant, id)

    def delete(self, tenant: str, id: str) -> None:
        """Its files stay files. Raises NotFound."""
        self.get(tenant, id)
        self._bury(tenant, self._change(tenant, id, lambda now: msgspec.structs.replace(now, leaving=True)))

    def _change(self, tenant: str, id: str, to: Callable[[StoredStore], StoredStore]) -> StoredStore:
        return self._shelf.change(tenant, id, to)

    def _there(self, tenant: str, id: str) -> bool:
        store = self._shelf.find(tenant, id)
        return store is not None and not store.leaving

    def _looked_at(self, tenant: str, store: StoredStore) -> StoredStore | None:
        if store.leaving:
            self._bury(tenant, store)
            return None
        if store.expires_at is not None and store.expires_at <= time.time() and not store.expired:
            store = self._change(tenant, store.id, _expired)
        try:
            if store.expired:
                self._files.empty(tenant, store.id)
            elif store.wanted:
                for file in store.wanted:
                    self._files.attach(tenant, store.id, file, None, fresh=False)
                store = self._change(tenant, store.id, lambda now: msgspec.structs.replace(now, wanted=()))
        except NotFound:  # removed meanwhile
            return self.find(tenant, store.id)
        return store

    def _bury(self, tenant: str, store: StoredStore) -> None:
        self._files.empty(tenant, store.id)
        self._index.drop(store.id)
        self._shelf.remove(tenant, store.id)

    def _embedder(self) -> str:
        """The configuration's first model for embeddings, of those that are served."""
        served = self._embedders
        embed = (model for model in self._registry.list() if model.task == "embedding")
        found = next((model for model in embed if served is None or model.name in served), None)
        if found is None:
            raise RequestError(
                'No model embeds texts here; add a [[model]] with task = "embedding" to stack.toml.',
                code="no_embedding_model",
            )
        return found.name


def _expired(store: StoredStore) -> StoredStore:
    due = store.expires_at is not None and store.expires_at <= time.time()
    return msgspec.structs.replace(store, expired=True, wanted=()) if due else store
