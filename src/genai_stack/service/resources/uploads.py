"""Files that come in parts: pending, then completed, cancelled or expired, and that for good.

An upload knows from the start which file it will be. It is completed first and filed after that: a retry of the same
completion files what a crash left unfiled, and so does a sweep.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec

from ...errors import NotFound, ObjectNotFound, Overloaded, RequestError
from ...ports import ObjectInfo, Record, RecordStore
from ...protocol.files import CompleteRequest, ExpiresAfter, FileObject, Purpose, Upload, UploadRequest
from .files import Files, checked_name
from .forms import too_large
from .once import Once, gone
from .shelf import Page, Shelf

OPEN_SECONDS = 3600
PART_BYTES = 64 * 1024 * 1024
KEPT_SECONDS = 86_400
SWEPT = 20
"""Uploads that a new one looks over, oldest first, for those that are long over."""
MOST_PENDING = 100
"""Uploads that a tenant may have pending at a time."""
OPEN = "uploads-open"
"""Of every tenant, in the order in which they began: those whose parts may lie there."""


class Content(msgspec.Struct, frozen=True):
    """What a completed upload holds, of which parts."""

    blob: ObjectInfo
    part_ids: tuple[str, ...]


class StoredUpload(msgspec.Struct, frozen=True):
    id: str
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    mime_type: str
    purpose: Purpose
    file_id: str
    expires_after: ExpiresAfter | None = None
    status: Literal["pending", "completed", "cancelled", "expired"] = "pending"
    content: Content | None = None
    filed: bool = False
    received: int = 0
    """Bytes of all its parts, those that were sent again included."""

    def shown(self, file: FileObject | None = None) -> Upload:
        return Upload(
            self.id,
            self.bytes,
            self.created_at,
            self.expires_at,
            self.filename,
            self.purpose,
            self.status,
            file,
        )


class Part(msgspec.Struct, frozen=True):
    id: str
    created_at: int
    blob: ObjectInfo


class Uploads:
    """All of it waits on stores: call it in a thread."""

    def __init__(self, files: Files, records: RecordStore, once: Once, max_bytes: int) -> None:
        self._files, self._once, self._max_bytes = files, once, max_bytes
        self._records = records
        self._shelf = Shelf(records, StoredUpload, "uploads", "upload_", "upload")
        self._parts = Shelf(records, Part, "upload-parts", "part_", "part")

    def create(self, tenant: str, request: UploadRequest, key: bytes | None) -> Upload:
        """Raises RequestError, TooLarge, Conflict."""
        name = checked_name(request.filename, "filename")
        if request.bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        self.sweep(SWEPT)
        self._sweep(tenant)
        claim = self._once.claim(tenant, key, f"uploads {request}", self._shelf.new_id())
        now = int(time.time())
        upload = StoredUpload(
            claim.id, request.bytes, now, now + OPEN_SECONDS, name, request.mime_type, request.purpose,
            self._files.new_id(), request.expires_after,
        )  # fmt: skip
        if self._shelf.find(tenant, claim.id) is None:
            if claim.made:
                raise gone(claim)
            self._refuse_many(tenant)
            self._records.put(OPEN, claim.id, {"tenant": tenant})
            self._shelf.add(tenant, upload)
        self._once.made(tenant, key, claim)
        return self._shelf.get(tenant, claim.id).shown()

    def pending(self, tenant: str, id: str) -> StoredUpload:
        """Raises NotFound, and RequestError for one that takes no parts any more."""
        upload = self._looked_at(tenant, id)
        if upload.status != "pending":
            raise _over(upload)
        return upload

    def add_part(self, tenant: str, id: str, blob: ObjectInfo, key: bytes | None) -> Part:
        """Raises as `pending` does; then the content is dropped."""
        try:
            self.pending(tenant, id)
            self._shelf.change(tenant, id, lambda now: _with_more(now, blob.bytes))
            asked = f"parts {id} {blob.sha256}"
            claim = self._once.claim(tenant, key, asked, self._parts.new_id())
            self._files.unfiled.goes_to(blob.key, self._parts.place(f"{tenant}/{id}"), claim.id)
            self._parts.add(f"{tenant}/{id}", Part(claim.id, int(time.time()), blob))
            part = self._parts.get(f"{tenant}/{id}", claim.id)
        except BaseException:
            self._files.drop(blob)
            raise
        if part.blob.key != blob.key:
            self._files.drop(blob)
        else:
            self._files.unfiled.filed(blob.key)
        self._once.made(tenant, key, claim)
        return part

    def complete(self, tenant: str, id: str, request: CompleteRequest) -> Upload:
        """The upload and its file. The same again is the same; raises RequestError for other parts, for parts that
        aren't the upload's, and for content that isn't what was announced."""
        upload = self._looked_at(tenant, id)
        asked = tuple(request.part_ids)
        if upload.status == "pending":
            upload = self._completed(tenant, upload, self._joined(tenant, upload, asked, request.md5))
        if upload.status != "completed" or upload.content is None or upload.content.part_ids != asked:
            raise _over(upload)
        self._file(tenant, upload)
        file = self._files.find(tenant, upload.file_id)
        return upload.shown(file.shown() if file else None)

    def cancel(self, tenant: str, id: str) -> Upload:
        """Final. Raises RequestError for one that is completed or has expired."""
        self._looked_at(tenant, id)
        upload = self._end(tenant, id, "cancelled")
        if upload.status != "cancelled":
            raise _over(upload)
        return upload.shown()

    def _joined(self, tenant: str, upload: StoredUpload, ids: tuple[str, ...], md5: str | None) -> Content:
        if len(set(ids)) != len(ids):
            raise RequestError(
                "'part_ids' names a part twice; name each once.", param="part_ids", code="invalid_value"
            )
        parts = []
        for part_id in ids:
            if (part := self._parts.find(f"{tenant}/{upload.id}", part_id)) is None:
                raise RequestError(
                    f"{part_id[:80]!r} is no part of this upload; name those that it has.",
                    param="part_ids",
                    code="invalid_value",
                )
            parts.append(part)
        if (size := sum(part.blob.bytes for part in parts)) != upload.bytes:
            raise RequestError(
                f"The parts have {size} bytes together and {upload.bytes} were announced; name all parts.",
                param="part_ids",
                code="invalid_value",
            )
        digest = hashlib.md5(usedforsecurity=False)

        def content() -> Iterator[bytes]:
            for part in parts:
                for chunk in self._files.objects.read(part.blob.key):
                    digest.update(chunk)
                    yield chunk

        blob = self._files.store(content())
        if md5 is not None and digest.hexdigest() != md5.lower():
            self._files.drop(blob)
            raise RequestError(
                f"The content's MD5 is {digest.hexdigest()}, not 'md5'; upload it again.",
                param="md5",
                code="invalid_value",
            )
        return Content(blob, ids)

    def _completed(self, tenant: str, upload: StoredUpload, content: Content) -> StoredUpload:
        def completed(now: StoredUpload) -> StoredUpload:
            if now.status != "pending":
                return now
            return msgspec.structs.replace(now, status="completed", content=content)

        self._files.unfiled.goes_to(content.blob.key, self._shelf.place(tenant), upload.id)
        after = self._shelf.change(tenant, upload.id, completed)
        if after.content != content:
            self._files.drop(content.blob)
        return after

    def _file(self, tenant: str, upload: StoredUpload) -> None:
        """Makes the file of a completed upload, unless it was made."""
        if upload.filed or upload.content is None:
            return
        blob = upload.content.blob
        with suppress(ObjectNotFound, NotFound):  # the file was made, and was deleted or has expired since
            self._files.objects.head(blob.key)
            self._files.made(
                tenant, upload.file_id, blob, upload.filename, upload.purpose, upload.expires_after
            )
        self._shelf.change(tenant, upload.id, lambda now: msgspec.structs.replace(now, filed=True))
        self._drop_parts(tenant, upload.id)

    def _looked_at(self, tenant: str, id: str) -> StoredUpload:
        upload = self._shelf.get(tenant, id)
        if upload.status == "pending" and upload.expires_at <= time.time():
            return self._end(tenant, id, "expired")
        return upload

    def _end(self, tenant: str, id: str, how: Literal["cancelled", "expired"]) -> StoredUpload:
        def ended(now: StoredUpload) -> StoredUpload:
            return msgspec.structs.replace(now, status=how) if now.status == "pending" else now

        after = self._shelf.change(tenant, id, ended)
        if after.status == how:
            self._drop_parts(tenant, id)
        return after

    def _drop_parts(self, tenant: str, id: str) -> None:
        place = f"{tenant}/{id}"
        while found := self._parts.page(place, Page(1000)).items:
            for part in found:
                self._files.drop(part.blob)
                self._parts.remove(place, part.id)

    def sweep(self, most: int = 1_000_000) -> None:
        """Ends what has expired of the `most` oldest uploads, whosever they are, so that no parts of them stay, and
        files what a crash left unfiled."""
        for row in self._open(most):
            tenant = str(row.item["tenant"])
            try:
                upload = self._looked_at(tenant, row.id)
            except NotFound:  # never made, or swept since
                upload = None
            if upload is not None and upload.status == "pending":
                return  # and so are those that began later
            if upload is not None:
                self._file(tenant, upload)
            self._drop_parts(tenant, row.id)
            self._records.delete(OPEN, row.id)

    def _open(self, most: int) -> Iterator[Record]:
        after: str | None = None
        while most > 0 and (rows := self._records.query(OPEN, after=after, limit=min(most, 100))):
            yield from rows
            most, after = most - len(rows), rows[-1].id

    def _refuse_many(self, tenant: str) -> None:
        now = time.time()
        page = Page(MOST_PENDING)
        open_ = self._shelf.page(tenant, page, lambda up: up.status == "pending" and up.expires_at > now)
        if len(open_.items) >= MOST_PENDING:
            error = Overloaded(
                f"{MOST_PENDING} uploads are pending; complete or cancel some, or wait until they expire.",
                code="too_many_uploads",
            )
            error.should_retry = False
            raise error

    def _sweep(self, tenant: str) -> None:
        for upload in self._shelf.page(tenant, Page(SWEPT, order="asc")).items:
            if upload.expires_at > time.time() - KEPT_SECONDS:
                return
            self._file(tenant, self._looked_at(tenant, upload.id))
            self._drop_parts(tenant, upload.id)
            self._shelf.remove(tenant, upload.id)


def _with_more(upload: StoredUpload, bytes: int) -> StoredUpload:
    """Every part may be sent twice, since an answer may be lost; more than that is refused."""
    received = upload.received + bytes
    if received > 2 * upload.bytes + PART_BYTES:
        raise RequestError(
            f"{received} bytes of parts have come and {upload.bytes} were announced; complete the upload.",
            param="data",
            code="too_many_parts",
        )
    return msgspec.structs.replace(upload, received=received)


def _over(upload: StoredUpload) -> RequestError:
    return RequestError(
        f"This upload is {upload.status}; create another for what else there is.", code="upload_not_pending"
    )
