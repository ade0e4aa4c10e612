"""Objects on their way to the record that has them. Each is noted before it is stored, and until its record is there;
a note that has grown old is of an object that a crash left behind, or of one whose record made it: the sweep looks.

Only what was noted is ever removed, so an object without a note is safe whatever the records say.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from ...errors import ConditionFailed
from ...ports import ObjectInfo, ObjectStore, RecordStore
from . import ids

COLLECTION = "unfiled"
FOLDER = "files/"
OLD_SECONDS = 86_400.0
"""Longer than any request, whose object may be on its way still."""
_ROWS = 100


class Note(msgspec.Struct, frozen=True):
    """`record` is the collection and the id of the record that is to have the object; None before it is chosen."""

    at: float
    record: tuple[str, str] | None = None


class Unfiled:
    """All of it waits on stores: call it in a thread."""

    def __init__(self, objects: ObjectStore, records: RecordStore) -> None:
        self._objects, self._records = objects, records

    def new_key(self) -> str:
        """The key of an object that is to be stored next."""
        name = ids.new("")
        self._note(name, Note(time.time()))
        return FOLDER + name

    def store(self, content: Iterable[bytes]) -> ObjectInfo:
        """Content that belongs to no record yet."""
        return self._objects.put(self.new_key(), content)

    def drop(self, blob: ObjectInfo) -> None:
        self._objects.delete(blob.key)
        self.filed(blob.key)

    def goes_to(self, key: str, collection: str, id: str) -> None:
        """Before that record is made: it is to have the object."""
        self._note(key.removeprefix(FOLDER), Note(time.time(), (collection, id)))

    def filed(self, key: str) -> None:
        """The record is there, or the object isn't any more."""
        self._records.delete(COLLECTION, key.removeprefix(FOLDER))

    def sweep(self, older: float = OLD_SECONDS) -> int:
        """Removes what crashes left behind over so many seconds ago. Returns how many objects that were."""
        removed, after = 0, None
        until = time.time() - older
        while rows := self._records.query(COLLECTION, after=after, limit=_ROWS):
            for row in rows:
                note = msgspec.convert(row.item, Note)
                if note.at > until:
                    continue
                key = FOLDER + row.id
                if not self._kept(note, key):
                    self._objects.delete(key)
                    removed += 1
                with suppress(ConditionFailed):  # another process sweeps, too
                    self._records.delete(COLLECTION, row.id, if_version=row.version)
            after = rows[-1].id
        return removed

    def _kept(self, note: Note, key: str) -> bool:
        """Whether the record has the object."""
        record = self._records.get(*note.record) if note.record else None
        return record is not None and json.dumps(key) in json.dumps(record.item)

    def _note(self, name: str, note: Note) -> None:
        self._records.put(COLLECTION, name, msgspec.to_builtins(note))
