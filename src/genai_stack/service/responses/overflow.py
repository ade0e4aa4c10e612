"""What is too large for a record lies beside it as an object, under responses/. The object is there before a record
names it."""

from __future__ import annotations

import secrets
from typing import Any, TypeVar

import msgspec

from ...errors import ObjectNotFound
from ...ports import ObjectStore

INLINE = 96 * 1024
"""Bytes of JSON that a record holds itself; DynamoDB's records end at 400 kB."""
T = TypeVar("T")


class Laid(msgspec.Struct, frozen=True):
    """Where a value is: in the record, or in the object `blob`."""

    inline: Any = None
    blob: str | None = None


class Overflow:
    """Waits on the store: call it in a thread."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def lay(self, place: str, value: Any) -> Laid:
        """`place` begins the object's key, where there is to be one."""
        text = msgspec.json.encode(value)
        if len(text) <= INLINE:
            return Laid(msgspec.to_builtins(value))
        return Laid(blob=self.write(place, text))

    def write(self, place: str, content: bytes) -> str:
        key = f"{place}/{secrets.token_hex(8)}"
        self._objects.put(key, content)
        return key

    def read(self, laid: Laid, kind: type[T]) -> T:
        """Raises ObjectNotFound for what was dropped meanwhile."""
        if laid.blob is None:
            return msgspec.convert(laid.inline, kind)
        return msgspec.json.decode(self._objects.get(laid.blob), type=kind)

    def content(self, blob: str) -> bytes | None:
        try:
            return self._objects.get(blob)
        except ObjectNotFound:
            return None

    def drop(self, *blobs: str | None) -> None:
        for blob in blobs:
            if blob is not None:
                self._objects.delete(blob)
