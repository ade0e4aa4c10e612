"""The files in a tenant's vector stores, and batches of them.

A file is sent through the indexing in the background; its record says how far it is, and whoever comes across one that
isn't done sees to it that it is worked on. What the index tells of a file is a copy of its record: the record changes
first. A file that is no file any more is gone from its stores: every reader looks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from ...errors import Conflict, NotFound
from ...ports import RecordStore, VectorIndex
from ...protocol.stores import FileCounts, FileFault, FileStatus, StoreFileRequest
from . import store_records
from .files import Files, StoredFile
from .once import Once, gone
from .shelf import Found, Page, Shelf
from .store_records import KeptFile, StoredFileBatch, StoredStore, Wanted

Place = tuple[str, str, str]
"""Tenant, store, file."""


class StoreFiles:
    """All of it waits on stores: call it in a thread. `want` and `stop` begin and end the work on a file, and return at
    once."""

    def __init__(self, files: Files, records: RecordStore, index: VectorIndex, once: Once) -> None:
        self._files, self._index, self._once = files, index, once
        self._shelf = Shelf(records, KeptFile, "store-files", "file-", "file of this vector store")
        self._batches = Shelf(records, StoredFileBatch, "store-batches", "vsfb_", "batch of this vector store")
        self.want: Callable[[Place], None] = _nothing
        self.stop: Callable[[Place], None] = _nothing
        self.find_store: Callable[[str, str], StoredStore | None] = lambda tenant, id: None
        self.store_there: Callable[[str, str], bool] = lambda tenant, id: False
        files.busy["vs_"] = self.busy

    def check_there(self, tenant: str, ids: Iterable[str], param: str) -> None:
        """Raises NotFound for an id that is no file's."""
        for id in ids:
            if self._files.find(tenant, id) is None:
                raise NotFound(f"There is no file {id[:80]!r}; upload it first.", param=param)

    def attach(
        self, tenant: str, store: str, file: Wanted, batch: str | None, *, fresh: bool = True
    ) -> KeptFile | None:
        """The file in the store. One that is there goes through the indexing again where it is to be different or where
        that failed; with `fresh` False it stays as it is. None where it is no file any more."""
        place = f"{tenant}/{store}"
        try:
            name = self._files.use(tenant, file.file_id, f"{store}/{file.file_id}").filename
        except NotFound:
            return None
        there = store_records.kept(file, name, batch)
        if not self._shelf.add(place, there):
            if (now := self._shelf.find(place, file.file_id)) is not None and now.leaving:
                self._bury(tenant, store, now)
                self._shelf.add(place, there)
            if fresh:
                there = self._shelf.change(
                    place, file.file_id, lambda now: store_records.again(now, file, batch)
                )
        if there.status == "in_progress":
            self.want((tenant, store, file.file_id))
        return there

    def get(self, tenant: str, store: str, id: str) -> KeptFile:
        """Raises NotFound."""
        kept = self._shelf.find(f"{tenant}/{store}", id)
        if kept is None or not self._here(tenant, store, kept):
            raise self._shelf.absent(id)
        return kept

    def page(
        self, tenant: str, store: str, page: Page, status: FileStatus | None = None, batch: str | None = None
    ) -> Found[KeptFile]:
        def keep(kept: KeptFile) -> bool:
            wanted = status in (None, kept.status) and batch in (None, kept.batch)
            return wanted and self._here(tenant, store, kept)

        return self._shelf.page(f"{tenant}/{store}", page, keep)

    def counts(self, tenant: str, store: str) -> tuple[FileCounts, int]:
        """How its files stand, and the bytes that they take in it."""
        found: list[KeptFile] = []
        after: str | None = None
        while True:
            page = self.page(tenant, store, Page(1000, after, "asc"))
            found += page.items
            if not page.has_more:
                break
            after = page.items[-1].id
        return store_records.counted(kept.status for kept in found), sum(kept.usage_bytes for kept in found)

    def describe(self, tenant: str, store: str, id: str, attributes: dict[str, str | float | bool]) -> KeptFile:
        """With other attributes. Raises NotFound."""
        self.get(tenant, store, id)

        def described(now: KeptFile) -> KeptFile:
            return msgspec.structs.replace(now, attributes=attributes, stale=now.status == "completed")

        self._shelf.change(f"{tenant}/{store}", id, described)
        return self.get(tenant, store, id)

    def detach(self, tenant: str, store: str, id: str) -> None:
        """Out of the store; the file stays. Raises NotFound."""
        self.get(tenant, store, id)
        self._leave(tenant, store, id)

    def gone(self, tenant: str, store: str, ids: Iterable[str]) -> set[str]:
        """Those of the files that the index found which aren't the store's (any more), or are no files any more; from
        here on the index doesn't find them."""
        found = {id for id in ids if not self._stands(tenant, store, id)}
        for id in found:
            self._index.remove(store, id)
        return found

    def _stands(self, tenant: str, store: str, id: str) -> bool:
        kept = self._shelf.find(f"{tenant}/{store}", id)
        if kept is None or kept.status in ("failed", "cancelled"):
            return False
        return self._here(tenant, store, kept)

    def empty(self, tenant: str, store: str) -> None:
        """Takes everything out of a store."""
        place = f"{tenant}/{store}"
        while items := self._shelf.page(place, Page(1000)).items:
            for kept in items:
                self.stop((tenant, store, kept.id))
                self._shelf.remove(place, kept.id)
        while batches := self._batches.page(place, Page(1000)).items:
            for batch in batches:
                self._batches.remove(place, batch.id)
        self._index.drop(store)

    def busy(self, tenant: str, user: str) -> bool:
        """Whether a file (`user` is store/file) is being read for a store."""
        store, _, id = user.partition("/")
        kept = self._shelf.find(f"{tenant}/{store}", id)
        if kept is None or kept.leaving or kept.status != "in_progress":
            return False
        return self.store_there(tenant, store)

    # A batch is a record that is made first, and its files after it; whoever looks finishes that.

    def create_batch(
        self,
        tenant: str,
        store: str,
        requests: list[StoreFileRequest],
        key: bytes | None,
        by: str | None = None,
    ) -> StoredFileBatch:
        """Raises NotFound for a file, Conflict."""
        place = f"{tenant}/{store}"
        claim = self._once.claim(tenant, key, f"store-batches {store} {requests}", self._batches.new_id())
        if self._batches.find(place, claim.id) is None:
            if claim.made:
                raise gone(claim)
            self.check_there(tenant, (request.file_id for request in requests), "file_ids")
            files = tuple(store_records.wanted(request, by) for request in requests)
            self._batches.add(place, StoredFileBatch(claim.id, int(time.time()), files))
        self._once.made(tenant, key, claim)
        return self.batch(tenant, store, claim.id)

    def batch(self, tenant: str, store: str, id: str) -> StoredFileBatch:
        """Raises NotFound."""
        place = f"{tenant}/{store}"
        batch = self._batches.get(place, id)
        if batch.settled or batch.cancelled:
            return batch
        for file in batch.files:
            now = self._shelf.find(place, file.file_id)
            if now is None or now.batch != id:
                self.attach(tenant, store, file, id)
        return self._batches.change(place, id, lambda now: msgspec.structs.replace(now, settled=True))

    def batch_counts(self, tenant: str, store: str, batch: StoredFileBatch) -> FileCounts:
        """What was taken out of the store meanwhile counts as cancelled."""
        statuses: list[FileStatus] = []
        for file in batch.files:
            kept = self._shelf.find(f"{tenant}/{store}", file.file_id)
            here = kept is not None and kept.batch == batch.id and self._here(tenant, store, kept)
            statuses.append(kept.status if here and kept is not None else "cancelled")
        return store_records.counted(statuses)

    def cancel_batch(self, tenant: str, store: str, id: str) -> StoredFileBatch:
        """What is done of it stays. Raises NotFound, and Conflict for one that has ended otherwise."""
        place = f"{tenant}/{store}"
        batch = self.batch(tenant, store, id)
        if not batch.cancelled and not self.batch_counts(tenant, store, batch).in_progress:
            raise Conflict("This batch has ended; it can't be cancelled.", code="batch_ended")
        batch = self._batches.change(place, id, lambda now: msgspec.structs.replace(now, cancelled=True))

        def cancelled(now: KeptFile) -> KeptFile:
            return store_records.ended(now, now.life, "cancelled") if now.batch == id else now

        for file in batch.files:
            try:
                if self._shelf.change(place, file.file_id, cancelled).status == "cancelled":
                    self.stop((tenant, store, file.file_id))
            except NotFound:
                continue
        return batch

    # What the indexing asks and tells.

    def work(self, place: Place) -> tuple[StoredStore, KeptFile, StoredFile] | None:
        """What there is to do for a file; None where nothing is."""
        tenant, store_id, id = place
        kept = self._shelf.find(f"{tenant}/{store_id}", id)
        if kept is None or kept.status != "in_progress" or not self._here(tenant, store_id, kept, wake=False):
            return None
        store, file = self.find_store(tenant, store_id), self._files.find(tenant, id)
        return (store, kept, file) if store and not store.expired and file else None

    def completed(self, place: Place, done: KeptFile, usage: int) -> None:
        """The index has the file as `done` says."""

        def to(now: KeptFile) -> KeptFile:
            stale = now.attributes != done.attributes
            return store_records.ended(now, done.life, "completed", usage_bytes=usage, stale=stale)

        self._told(place, to)

    def failed(self, place: Place, done: KeptFile, fault: FileFault) -> None:
        self._told(
            place, lambda now: store_records.ended(now, done.life, "failed", last_error=fault, usage_bytes=0)
        )

    def _told(self, place: Place, to: Callable[[KeptFile], KeptFile]) -> None:
        tenant, store, id = place
        try:
            kept = self._shelf.change(f"{tenant}/{store}", id, to)
        except NotFound:
            kept = None
        if kept is None or kept.status in ("failed", "cancelled"):
            self._index.remove(store, id)
        if kept is not None:
            self._here(tenant, store, kept, wake=False)
        elif self.find_store(tenant, store) is None:
            self._index.drop(store)

    def _here(self, tenant: str, store: str, kept: KeptFile, *, wake: bool = True) -> bool:
        """Whether readers find it; what is left to do for it is done or begun."""
        if kept.leaving:
            self._bury(tenant, store, kept)
            return False
        if self._files.find(tenant, kept.id) is None:
            self._leave(tenant, store, kept.id)
            return False
        if kept.stale:
            self._index.describe(store, kept.indexed)
            self._shelf.change(
                f"{tenant}/{store}",
                kept.id,
                lambda now: msgspec.structs.replace(now, stale=now.attributes != kept.attributes),
            )
        if wake and kept.status == "in_progress":
            self.want((tenant, store, kept.id))
        return True

    def _leave(self, tenant: str, store: str, id: str) -> None:
        leaving = self._shelf.change(
            f"{tenant}/{store}", id, lambda now: msgspec.structs.replace(now, leaving=True)
        )
        self._bury(tenant, store, leaving)

    def _bury(self, tenant: str, store: str, kept: KeptFile) -> None:
        self.stop((tenant, store, kept.id))
        self._index.remove(store, kept.id)
        self._shelf.remove(f"{tenant}/{store}", kept.id)


def _nothing(place: Place) -> None:
    pass
