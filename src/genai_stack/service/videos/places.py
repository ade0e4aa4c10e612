"""How many films of a tenant a host has at a time: numbered places, each with the id of the film that has it.

A place is free again once its film has ended or is gone: nobody gives it back, and a crash leaves none taken. It is
taken by a conditional write, so that processes never take more together.
"""

from __future__ import annotations

import time

from ...errors import ConditionFailed, Overloaded
from ...ports import Record, RecordStore
from .videos import Videos

COLLECTION = "videos-places"
PLACES = 8
KEPT_SECONDS = 86_400.0
"""Longer than any host works on a film."""


class Places:
    """Waits on the store: call it in a thread."""

    def __init__(self, records: RecordStore, videos: Videos) -> None:
        self._records, self._videos = records, videos

    def take(self, tenant: str, id: str) -> None:
        """One for a film that is kept, and isn't with its host yet. Raises Overloaded."""
        place = f"{COLLECTION}/{tenant}"
        while True:
            taken = {record.id: record for record in self._records.query(place, limit=PLACES)}
            number = next((name for name in map(str, range(PLACES)) if name not in taken), None)
            version = 0
            # Its own, of an earlier try, is written again: who found its film gone then doesn't take it now.
            own = next((record for record in taken.values() if record.item["film"] == id), None)
            if own is not None or number is None:
                there = own or self._left(tenant, list(taken.values()))
                number, version = there.id, there.version
            try:
                expires = time.time() + KEPT_SECONDS
                self._records.put(place, number, {"film": id}, if_version=version, expires=expires)
                return
            except ConditionFailed:
                continue

    def _left(self, tenant: str, taken: list[Record]) -> Record:
        """One whose film needs it no more. Raises Overloaded."""
        for look in (False, True):
            for record in taken:
                if self._videos.over(tenant, str(record.item["film"]), look=look):
                    return record
        error = Overloaded(
            f"{PLACES} films of yours are being made already; wait for one to end, or delete one.",
            code="too_many_videos",
        )
        error.should_retry = False
        raise error
