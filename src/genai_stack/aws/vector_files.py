"""Which files a vector store has, in the records: what S3 Vectors holds counts only as far as they say so.

A file's vectors are written as one put of many requests, each put under a mark of its own; the record names the put
that counts, so that a file is seen whole or not at all. Puts that were begun stand in the record until their vectors
are gone: what a crash leaves is cleared by the next one who puts or removes the file. Of two at once, the one that
began last counts, and the other begins again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from genai_stack import names
from genai_stack.errors import ConditionFailed
from genai_stack.ports import IndexedFile, RecordStore
from genai_stack.protocol.filters import Value

STORES = "indexes"
_PAGE = 1000


class Put(msgspec.Struct, frozen=True):
    """`vectors` are kept under `<mark>/<0…>`."""

    mark: str
    vectors: int


class Index(msgspec.Struct, frozen=True):
    """A store's index in S3 Vectors; `made` where it is known to be there."""

    name: str
    dimensions: int
    made: bool = False


class Entry(msgspec.Struct, frozen=True):
    """A file. `begun` are other puts than the one that counts, which has vectors in the index, or will."""

    name: str
    attributes: dict[str, Value]
    counts: Put | None = None
    begun: tuple[Put, ...] = ()


class VectorFiles:
    """All of it waits on the records."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records

    def index(self, store: str) -> Index | None:
        record = self._records.get(STORES, store)
        return msgspec.convert(record.item, Index) if record else None

    def opened(self, store: str, dimensions: int, make: Callable[[Index], None]) -> Index:
        """The store's index, made when there is none; it may have other dimensions."""
        while (found := self.index(store)) is None or not found.made:
            if found is None:
                found = Index(names.vector_index(store, secrets.token_hex(4)), dimensions)
                try:
                    self._records.put(STORES, store, msgspec.to_builtins(found), if_version=0)
                except ConditionFailed:
                    continue
            make(found)
            record = self._records.get(STORES, store)
            if record is not None and record.item.get("name") == found.name:
                made = msgspec.structs.replace(found, made=True)
                self._records.put(STORES, store, msgspec.to_builtins(made))
        return found

    def forget(self, store: str) -> None:
        for id, _ in self.all(store):
            self._records.delete(_files(store), id)
        self._records.delete(STORES, store)

    def all(self, store: str) -> Iterator[tuple[str, Entry]]:
        after = None
        while page := self._records.query(_files(store), after=after, limit=_PAGE):
            for record in page:
                yield record.id, msgspec.convert(record.item, Entry)
            after = page[-1].id

    def get(self, store: str, file: str) -> Entry | None:
        record = self._records.get(_files(store), file)
        return msgspec.convert(record.item, Entry) if record else None

    def begin(self, store: str, file: IndexedFile, put: Put) -> tuple[Put, ...]:
        """Those that were begun before, and count no more: their vectors are to be deleted."""
        before: tuple[Put, ...] = ()

        def begun(now: Entry | None) -> Entry:
            nonlocal before
            now = now or Entry(file.name, dict(file.attributes))
            before = now.begun
            return msgspec.structs.replace(now, begun=(*before, put))

        self._change(store, file.id, begun)
        return before

    def finish(self, store: str, file: IndexedFile, put: Put) -> tuple[bool, Put | None]:
        """Whether this put counts from now on, and the one in whose place it does."""
        done, old = False, None

        def finished(now: Entry | None) -> Entry | None:
            nonlocal done, old
            done, old = now is not None and bool(now.begun) and now.begun[-1] == put, None
            if not done or now is None:
                return now
            old = now.counts
            return Entry(file.name, dict(file.attributes), put, (old,) if old else ())

        self._change(store, file.id, finished)
        return done, old

    def cleared(self, store: str, file: str, gone: Put) -> None:
        def without(now: Entry | None) -> Entry | None:
            if now is None or gone not in now.begun:
                return now
            return msgspec.structs.replace(now, begun=tuple(put for put in now.begun if put != gone))

        self._change(store, file, without)

    def describe(self, store: str, file: IndexedFile) -> None:
        def described(now: Entry | None) -> Entry | None:
            return now and msgspec.structs.replace(now, name=file.name, attributes=dict(file.attributes))

        self._change(store, file.id, described)

    def hide(self, store: str, file: str) -> tuple[Put, ...]:
        """From here on the file isn't there; its puts are to be deleted."""
        left: tuple[Put, ...] = ()

        def hidden(now: Entry | None) -> Entry | None:
            nonlocal left
            left = (*now.begun, *((now.counts,) if now.counts else ())) if now else ()
            return now and msgspec.structs.replace(now, counts=None, begun=left)

        self._change(store, file, hidden)
        return left

    def remove(self, store: str, file: str, gone: tuple[Put, ...]) -> None:
        """The record, unless another put has begun since."""
        record = self._records.get(_files(store), file)
        if record is not None:
            entry = msgspec.convert(record.item, Entry)
            if entry.counts is None and set(entry.begun) <= set(gone):
                with suppress(ConditionFailed):
                    self._records.delete(_files(store), file, if_version=record.version)

    def _change(self, store: str, file: str, to: Callable[[Entry | None], Entry | None]) -> None:
        while True:
            record = self._records.get(_files(store), file)
            before = msgspec.convert(record.item, Entry) if record else None
            after = to(before)
            if after is None or after == before:
                return
            version = record.version if record else 0
            try:
                self._records.put(_files(store), file, msgspec.to_builtins(after), if_version=version)
                return
            except ConditionFailed:
                continue


def _files(store: str) -> str:
    return f"{STORES}/{store}"
