"""Vector stores, their files and their batches of files, as they are kept."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import msgspec

from ...ports import IndexedFile
from ...protocol.stores import (
    Auto,
    Chunking,
    FileBatch,
    FileCounts,
    FileFault,
    FileStatus,
    Static,
    StaticChunking,
    StoreExpiry,
    StoreFile,
    StoreFileRequest,
    VectorStore,
)

DAY = 86_400


class Wanted(msgspec.Struct, frozen=True):
    """A file that is to come into a store, asked for with the API key of that id."""

    file_id: str
    attributes: dict[str, str | float | bool] = {}
    chunking: StaticChunking = StaticChunking()
    key: str | None = None


class StoredStore(msgspec.Struct, frozen=True):
    """`model` embeds its texts and the questions to it. `wanted` are files that are promised and not in it yet.
    `leaving`: it is being removed."""

    id: str
    created_at: int
    name: str
    description: str | None
    model: str
    last_active_at: int
    expires_after: StoreExpiry | None = None
    metadata: dict[str, str] | None = None
    wanted: tuple[Wanted, ...] = ()
    expired: bool = False
    leaving: bool = False

    @property
    def expires_at(self) -> int | None:
        return self.last_active_at + self.expires_after.days * DAY if self.expires_after else None

    def shown(self, counts: FileCounts, usage: int) -> VectorStore:
        return VectorStore(
            id=self.id,
            created_at=self.created_at,
            name=self.name,
            description=self.description,
            usage_bytes=usage,
            file_counts=counts,
            status="expired" if self.expired else "in_progress" if counts.in_progress else "completed",
            last_active_at=self.last_active_at,
            expires_after=self.expires_after,
            expires_at=self.expires_at,
            metadata=self.metadata,
        )


class KeptFile(msgspec.Struct, frozen=True):
    """A file in a store; `life` counts how often it was sent through the indexing. `stale`: its attributes are newer
    than the index's. `key` is the id of the API key that pays for its indexing."""

    id: str
    created_at: int
    name: str
    attributes: dict[str, str | float | bool]
    chunking: StaticChunking
    life: int = 1
    status: FileStatus = "in_progress"
    last_error: FileFault | None = None
    usage_bytes: int = 0
    batch: str | None = None
    stale: bool = False
    leaving: bool = False
    key: str | None = None

    @property
    def indexed(self) -> IndexedFile:
        return IndexedFile(self.id, self.name, self.attributes)

    def shown(self, store: str) -> StoreFile:
        return StoreFile(
            self.id,
            self.created_at,
            store,
            self.status,
            self.usage_bytes,
            Static(self.chunking),
            self.attributes,
            self.last_error,
        )


class StoredFileBatch(msgspec.Struct, frozen=True):
    """`settled`: all of `files` are in the store."""

    id: str
    created_at: int
    files: tuple[Wanted, ...]
    settled: bool = False
    cancelled: bool = False

    def shown(self, store: str, counts: FileCounts) -> FileBatch:
        status: FileStatus = "completed"
        if counts.in_progress:
            status = "in_progress"
        elif self.cancelled:
            status = "cancelled"
        elif counts.failed and not counts.completed:
            status = "failed"
        return FileBatch(self.id, self.created_at, store, status, counts)


def wanted(request: StoreFileRequest, key: str | None = None) -> Wanted:
    chunking = chunking_of(request.chunking_strategy)
    return Wanted(request.file_id, request.attributes or {}, chunking, key)


def chunking_of(strategy: Chunking | None) -> StaticChunking:
    return StaticChunking() if strategy is None or isinstance(strategy, Auto) else strategy.static


def kept(file: Wanted, name: str, batch: str | None) -> KeptFile:
    now = int(time.time())
    return KeptFile(file.file_id, now, name, file.attributes, file.chunking, batch=batch, key=file.key)


def again(now: KeptFile, file: Wanted, batch: str | None) -> KeptFile:
    """The same file sent once more: as it is where nothing changes, else through the indexing again."""
    batch = batch or now.batch
    same = (now.attributes, now.chunking) == (file.attributes, file.chunking)
    if same and now.status in ("in_progress", "completed"):
        return msgspec.structs.replace(now, batch=batch)
    return msgspec.structs.replace(
        now,
        attributes=file.attributes,
        chunking=file.chunking,
        life=now.life + 1,
        status="in_progress",
        last_error=None,
        batch=batch,
        stale=False,
        key=file.key,
    )


def ended(now: KeptFile, life: int, status: FileStatus, **more: Any) -> KeptFile:
    """As that life of it ended, unless it ended before or has another life by now."""
    if now.leaving or now.status != "in_progress" or now.life != life:
        return now
    return msgspec.structs.replace(now, status=status, **more)


def counted(statuses: Iterable[FileStatus]) -> FileCounts:
    found = list(statuses)
    each = {status: found.count(status) for status in ("in_progress", "completed", "failed", "cancelled")}
    return FileCounts(**each, total=len(found))
