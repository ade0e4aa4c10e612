"""A tenant's films: what is kept of them, and what becomes of those that a host was handed.

The content comes first and the record's word of it after, as with files; on the way out the record is marked first, and
whoever comes across a marked one finishes the removal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain

import msgspec

from ...errors import EngineFailed, GenAIStackError, NotFound, RequestError
from ...ports import LongWork, ObjectInfo, ObjectStore, Order, RecordStore
from ...protocol.videos import VideoError
from ..charging import Charges
from ..resources.once import Claim, Once, gone
from ..resources.shelf import Found, Page, Shelf
from ..resources.unfiled import Unfiled
from . import records as records_of
from .records import Spent, StoredVideo

ALL = "videos-all"
"""Of every tenant, in the order in which they began: those that may expire."""
SWEPT = 5
"""Films that a new one looks over, oldest first, for those that have expired."""


class Videos:
    """All of it waits on stores: call it in a thread. `stop` ends the work on a film of this process, and returns at
    once."""

    def __init__(
        self,
        objects: ObjectStore,
        records: RecordStore,
        once: Once,
        charges: Charges | None = None,
        long_work: LongWork | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._objects, self._unfiled, self._once = objects, Unfiled(objects, records), once
        self._records = records
        self._charges, self._long_work, self._clock = charges, long_work, clock
        self._shelf = Shelf(records, StoredVideo, "videos", "video_", "video")
        self.stop: Callable[[str], None] = _nothing

    def claim(self, tenant: str, key: bytes | None, asked: str) -> tuple[Claim, StoredVideo | None]:
        """The id of a film to make, and the film where it was made before. Raises Conflict."""
        claim = self._once.claim(tenant, key, f"videos {asked}", self._shelf.new_id())
        return claim, None if key is None else self._of(tenant, claim)

    def again(self, tenant: str, key: bytes | None, asked: str) -> StoredVideo | None:
        """The film where it was made before with that key. Raises Conflict."""
        claim = self._once.found(tenant, key, f"videos {asked}")
        return None if claim is None else self._of(tenant, claim)

    def _of(self, tenant: str, claim: Claim) -> StoredVideo | None:
        if (there := self.find(tenant, claim.id)) is not None:
            return there
        if claim.made:
            raise gone(claim)
        return None

    def queue(self, tenant: str, claim: Claim, video: StoredVideo) -> tuple[StoredVideo, bool]:
        """The film before anything is done for it, with a promise that it will be; and whether it is new, so that
        nobody else makes it."""
        with suppress(GenAIStackError):
            self.sweep(SWEPT)
        now = self._clock()
        self._records.put(ALL, claim.id, {"tenant": tenant, "at": now})
        added = self._shelf.add(tenant, msgspec.structs.replace(video, alive=now + records_of.LEASE_SECONDS))
        return self.get(tenant, claim.id), added

    def made(self, tenant: str, key: bytes | None, claim: Claim) -> None:
        """Whoever comes with the key again finds it, and a refusal can't happen any more."""
        self._once.made(tenant, key, claim)

    def unmade(self, tenant: str, id: str) -> None:
        """A film that its host refused before anybody was told of it."""
        self._removed(tenant, id)

    def ordered(self, tenant: str, id: str, order: Order) -> StoredVideo:
        """Its host has it; of one that was deleted or given up meanwhile nothing is kept. Raises NotFound."""
        taken: StoredVideo | None = None
        try:
            taken = self._change(tenant, id, lambda now: records_of.ordered(now, order))
            return taken
        finally:
            if self._long_work is not None and (taken is None or taken.order != order):
                self._long_work.withdraw(order)

    def begin(self, tenant: str, id: str) -> StoredVideo:
        return self._change(tenant, id, records_of.begun)

    def live(self, tenant: str, id: str) -> StoredVideo:
        """Promises LEASE_SECONDS more. Raises NotFound for one that was deleted."""
        until = self._clock() + records_of.LEASE_SECONDS
        return self._change(tenant, id, lambda now: records_of.lives(now, until))

    def complete(
        self, tenant: str, id: str, content: Iterable[bytes], *, ended: float, served: float
    ) -> StoredVideo:
        """The film is there, unless it has ended otherwise. Raises NotFound for one that was deleted, EngineFailed for
        what is no film; then nothing of it stays."""
        video = self._shelf.get(tenant, id)
        if video.ended:
            return video
        blob, at = self._unfiled.store(_film(content)), int(self._clock())
        try:
            self._unfiled.goes_to(blob.key, self._shelf.place(tenant), id)
            spent = Spent(ended, served, "answered")
            after = self._change(tenant, id, lambda now: records_of.completed(now, blob, at, spent))
        except NotFound:  # where the store broke off instead, the record may have it: the sweep looks
            self._unfiled.drop(blob)
            raise
        if after.content == blob:
            self._unfiled.filed(blob.key)
        else:
            self._unfiled.drop(blob)
        return self._charged(tenant, after)

    def fail(self, tenant: str, id: str, fault: VideoError) -> StoredVideo:
        at = self._clock()
        return self._charged(tenant, self._change(tenant, id, lambda now: records_of.failed(now, fault, at)))

    def left(self, tenant: str, video: StoredVideo, served: float) -> None:
        """It was deleted while this process had it made."""
        self._tell(tenant, video, Spent(self._clock(), served, "left"))

    def find(self, tenant: str, id: str) -> StoredVideo | None:
        """As it is now; None for one that has expired, or is being removed."""
        video = self._shelf.find(tenant, id)
        return self._looked_at(tenant, video) if video is not None and self._here(tenant, video) else None

    def get(self, tenant: str, id: str) -> StoredVideo:
        """Raises NotFound."""
        if (video := self.find(tenant, id)) is None:
            raise self.absent(id)
        return video

    def over(self, tenant: str, id: str, *, look: bool) -> bool:
        """Whether nothing is made of it any more: by what is kept of it, or after a `look` at its host."""
        video = self.find(tenant, id) if look else self._shelf.find(tenant, id)
        return video is None or video.ended or video.leaving

    def sweep(self, most: int = 1_000_000) -> None:
        """Removes what has expired of the `most` oldest films, whosever they are."""
        after: str | None = None
        while most > 0 and (rows := self._records.query(ALL, after=after, limit=min(most, 100))):
            for row in rows:
                if row.item["at"] > self._clock() - records_of.KEPT_SECONDS:
                    return  # and so are those that came later
                tenant = str(row.item["tenant"])
                video = self.find(tenant, row.id)
                stays = video is not None and video.fault is not None
                if stays or self._shelf.find(tenant, row.id) is None:
                    self._records.delete(ALL, row.id)
            most, after = most - len(rows), rows[-1].id

    def absent(self, id: str) -> NotFound:
        return self._shelf.absent(id)

    def page(self, tenant: str, page: Page) -> Found[StoredVideo]:
        found = self._shelf.page(tenant, page, lambda video: self._here(tenant, video))
        return Found([self._looked_at(tenant, video) for video in found.items], found.has_more)

    def content(self, tenant: str, id: str) -> tuple[StoredVideo, ObjectInfo]:
        """Raises NotFound, RequestError for a film that isn't there yet, or won't be."""
        video = self.get(tenant, id)
        if video.content is None:
            raise RequestError(
                f"This film is {video.status}; its content is there once it is completed.",
                param="id",
                code="video_not_completed",
            )
        return video, video.content

    def read(self, blob: ObjectInfo, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return self._objects.read(blob.key, start, end)

    def delete(self, tenant: str, id: str) -> None:
        """Final: what is made of it from here on is kept by nobody. Raises NotFound."""
        self.get(tenant, id)
        at = self._clock()
        video = self._change(tenant, id, lambda now: records_of.leaving(now, at))
        self.stop(id)
        self._bury(tenant, video)

    def _change(self, tenant: str, id: str, to: Callable[[StoredVideo], StoredVideo]) -> StoredVideo:
        """Raises NotFound for one that is being removed, too."""

        def there(now: StoredVideo) -> StoredVideo:
            if now.leaving:
                raise self.absent(id)
            return to(now)

        return self._shelf.change(tenant, id, there)

    def _here(self, tenant: str, video: StoredVideo) -> bool:
        """Whether readers find it. What has expired goes on the way."""
        if not video.leaving and (video.expires_at is None or video.expires_at > self._clock()):
            return True
        with suppress(GenAIStackError):
            self._bury(tenant, video)
        return False

    def _bury(self, tenant: str, video: StoredVideo) -> None:
        if video.spent is not None and not video.charged:
            self._tell(tenant, video, video.spent)
        if video.content is not None:
            self._objects.delete(video.content.key)
        if video.order is not None and self._long_work is not None:
            self._long_work.withdraw(video.order)
        self._removed(tenant, video.id)

    def _removed(self, tenant: str, id: str) -> None:
        self._shelf.remove(tenant, id)
        self._records.delete(ALL, id)

    def _looked_at(self, tenant: str, video: StoredVideo) -> StoredVideo:
        """What a store can't do now, the next look does."""
        with suppress(GenAIStackError):
            if video.ended:
                return self._charged(tenant, video)
            if video.order is not None:
                return self._collected(tenant, video, video.order)
            if video.alive < self._clock():
                return self.fail(tenant, video.id, records_of.DIED)
        return video

    def _collected(self, tenant: str, video: StoredVideo, order: Order) -> StoredVideo:
        if self._long_work is None:  # this process can't see where it was handed to
            return video
        try:
            outcome = self._long_work.outcome(order)
            if outcome is None:
                return video
            served = max(outcome.at - order.at, 0.0)
            after = self.complete(tenant, video.id, outcome.content, ended=outcome.at, served=served)
        except EngineFailed as error:
            after = self.fail(tenant, video.id, fault(error))
        with suppress(GenAIStackError):  # it is thrown away when the film is
            self._long_work.withdraw(order)
        return after

    def _charged(self, tenant: str, video: StoredVideo) -> StoredVideo:
        """One that has ended, once the ledger has it: whoever tells it again tells the same."""
        if video.spent is None or video.charged:
            return video
        self._tell(tenant, video, video.spent)
        try:
            return self._change(tenant, video.id, lambda now: msgspec.structs.replace(now, charged=True))
        except NotFound:  # deleted meanwhile
            return video

    def _tell(self, tenant: str, video: StoredVideo, spent: Spent) -> None:
        if self._charges is not None:
            self._charges.video(
                id=video.id,
                tenant=tenant,
                key=video.key,
                model=video.model,
                base=video.base,
                ended=spent.ended,
                began=video.created_at,
                served=spent.served,
                outcome=spent.outcome,
            )


def fault(error: BaseException) -> VideoError:
    """Why a film failed, as it is shown."""
    if not isinstance(error, GenAIStackError):
        return VideoError("server_error", "Something broke in here; create the film again.")
    return VideoError(error.code or error.type, error.message)


def _film(content: Iterable[bytes]) -> Iterator[bytes]:
    """The same content. Raises EngineFailed unless it begins as an MP4 does (ISO/IEC 14496-12, 4.3)."""
    chunks = iter(content)
    first = b""
    while len(first) < 12 and (more := next(chunks, None)) is not None:
        first += more
    if first[4:8] != b"ftyp":
        raise EngineFailed("The model answered with something that is no film; look at its log.")
    return chain((first,), chunks)


def _nothing(id: str) -> None:
    pass
