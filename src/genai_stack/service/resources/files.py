"""A tenant's files: their records, and their content in the ObjectStore.

The content comes first and the record after it, so that a file that is listed is whole. On the way out the record is
marked first: what is marked is gone for every reader, and whoever comes across it finishes the removal.
"""

from __future__ import annotations

import contextlib
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator

import msgspec

from ...errors import Conflict, NotFound, RequestError
from ...ports import ObjectInfo, ObjectStore, RecordStore
from ...protocol.files import ExpiresAfter, FileObject, MadePurpose, Purpose
from .once import Claim, Once, gone
from .shelf import Found, Page, Shelf
from .unfiled import Unfiled

BATCH_DAYS = 30
NAME_BYTES = 255
USERS = 64
"""Users of a file that are remembered before the ended ones among them are forgotten."""


class StoredFile(msgspec.Struct, frozen=True):
    """`blob` is the content's key in the ObjectStore. `users` are the ids of batches and jobs that read it. `leaving`:
    it is being removed."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: Purpose | MadePurpose
    sha256: str
    blob: str
    expires_at: int | None = None
    users: tuple[str, ...] = ()
    leaving: bool = False

    def shown(self) -> FileObject:
        return FileObject(
            self.id, self.bytes, self.created_at, self.filename, self.purpose, self.sha256, self.expires_at
        )


class Files:
    """All of it waits on stores: call it in a thread. `busy` tells by id whether a user of a file still needs it; each
    sort of users adds its own."""

    def __init__(self, objects: ObjectStore, records: RecordStore, once: Once) -> None:
        self.objects = objects
        self.unfiled = Unfiled(objects, records)
        self._once = once
        self._shelf = Shelf(records, StoredFile, "files", "file-", "file")
        self.busy: dict[str, Callable[[str, str], bool]] = {}

    def new_id(self) -> str:
        return self._shelf.new_id()

    def store(self, content: Iterable[bytes]) -> ObjectInfo:
        """Content that belongs to no file yet."""
        return self.unfiled.store(content)

    def drop(self, blob: ObjectInfo) -> None:
        self.unfiled.drop(blob)

    def create(
        self,
        tenant: str,
        blob: ObjectInfo,
        name: str,
        purpose: Purpose | MadePurpose,
        expires: ExpiresAfter | None,
        key: bytes | None = None,
    ) -> StoredFile:
        """The file with the content `blob`, which is dropped where the file was made before. Raises Conflict."""
        asked = f"files {blob.sha256} {name!r} {purpose} {expires}"
        try:
            claim = self._once.claim(tenant, key, asked, self.new_id())
            file = self.made(tenant, claim.id, blob, name, purpose, expires, claim)
        except BaseException:
            self.drop(blob)
            raise
        if file.blob != blob.key:
            self.drop(blob)
        self._once.made(tenant, key, claim)
        return file

    def made(
        self,
        tenant: str,
        id: str,
        blob: ObjectInfo,
        name: str,
        purpose: Purpose | MadePurpose,
        expires: ExpiresAfter | None,
        claim: Claim | None = None,
    ) -> StoredFile:
        """The file `id`, made now unless it is there."""
        now = int(time.time())
        seconds = expires.seconds if expires else BATCH_DAYS * 86_400 if purpose == "batch" else None
        until = now + seconds if seconds is not None else None
        file = StoredFile(id, blob.bytes, now, name, purpose, blob.sha256, blob.key, until)
        if claim is not None and claim.made:
            if (there := self.find(tenant, id)) is None:
                raise gone(claim)
            return there
        self.unfiled.goes_to(blob.key, self._shelf.place(tenant), id)
        there = file if self._shelf.add(tenant, file) else self.get(tenant, id)
        if there.blob == blob.key:
            self.unfiled.filed(blob.key)
        return there

    def find(self, tenant: str, id: str) -> StoredFile | None:
        """None for one that has expired, or is being removed."""
        file = self._shelf.find(tenant, id)
        return file if file is not None and self._here(tenant, file) else None

    def get(self, tenant: str, id: str) -> StoredFile:
        """Raises NotFound."""
        if (file := self.find(tenant, id)) is None:
            raise self.absent(id)
        return file

    def require(self, tenant: str, id: str, purpose: Purpose, param: str) -> StoredFile:
        """A file for `purpose`, which the request named in `param`. Raises NotFound, RequestError."""
        if (file := self.find(tenant, id)) is None:
            raise NotFound(f"There is no file {id[:80]!r}; upload it with purpose '{purpose}'.", param=param)
        if file.purpose != purpose:
            raise RequestError(
                f"The file's purpose is {file.purpose!r}; upload it again with purpose '{purpose}'.",
                param=param,
                code="invalid_purpose",
            )
        return file

    def absent(self, id: str) -> NotFound:
        return self._shelf.absent(id)

    def page(self, tenant: str, page: Page, purpose: str | None) -> Found[StoredFile]:
        def keep(file: StoredFile) -> bool:
            return (purpose is None or file.purpose == purpose) and self._here(tenant, file)

        return self._shelf.page(tenant, page, keep)

    def read(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return self.objects.read(file.blob, start, end)

    def use(self, tenant: str, id: str, user: str) -> StoredFile:
        """Keeps the file there for as long as `user` is busy. Raises NotFound."""

        def used(file: StoredFile) -> StoredFile:
            if file.leaving:
                raise self.absent(id)
            users = file.users
            if len(users) >= USERS:
                users = tuple(other for other in users if self._needs(tenant, other))
            return file if user in users else msgspec.structs.replace(file, users=(*users, user))

        return self._shelf.change(tenant, id, used)

    def delete(self, tenant: str, id: str) -> None:
        """Raises NotFound, and Conflict while a batch or a fine-tuning job that hasn't ended reads the file."""
        self.get(tenant, id)
        self._remove(tenant, id)

    def _here(self, tenant: str, file: StoredFile) -> bool:
        """Whether readers find it. What has expired goes on the way, once nothing needs it any more."""
        if file.leaving:
            self._bury(tenant, file)
            return False
        if file.expires_at is None or file.expires_at > time.time():
            return True
        with contextlib.suppress(Conflict, NotFound):
            self._remove(tenant, file.id)
        return False

    def _remove(self, tenant: str, id: str) -> None:
        def leaving(file: StoredFile) -> StoredFile:
            if user := next((user for user in file.users if self._needs(tenant, user)), None):
                raise Conflict(
                    f"{user} reads this file and hasn't ended; cancel it, or wait for its end.",
                    code="file_in_use",
                )
            return msgspec.structs.replace(file, leaving=True)

        self._bury(tenant, self._shelf.change(tenant, id, leaving))

    def _bury(self, tenant: str, file: StoredFile) -> None:
        self.objects.delete(file.blob)
        self._shelf.remove(tenant, file.id)

    def _needs(self, tenant: str, user: str) -> bool:
        busy = next((busy for prefix, busy in self.busy.items() if user.startswith(prefix)), None)
        return busy is not None and busy(tenant, user)


def checked_name(name: str, param: str = "file") -> str:
    """A name to show, never a path. Raises RequestError."""
    odd = any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
    if odd or not name.strip() or name in (".", "..") or re.search(r"[/\\]", name):
        raise RequestError(
            f"{name[:80]!r} can't be a file's name: it has no slashes and no control characters; send another.",
            param=param,
            code="invalid_filename",
        )
    if len(name.encode()) > NAME_BYTES:
        raise RequestError(
            f"The file's name is over {NAME_BYTES} bytes; send a shorter one.",
            param=param,
            code="invalid_filename",
        )
    return name
