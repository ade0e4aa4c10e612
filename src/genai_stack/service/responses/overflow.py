"""What is too large for a record lies beside it as an object, under responses/. The object is there before a record
names it."""

from __future__ import annotations

import secrets
from typing import Any, TypeVar

import msgspec

from ...errors import ObjectNotFound, RequestError
from ...ports import ObjectStore

INLINE = 96 * 1024
"""Bytes of JSON that a record holds itself; DynamoDB's records end at 400 kB."""
GOES_ON = 16 * 1024 * 1024
"""Bytes of JSON that a response may go on from, all before it together."""
T = TypeVar("T")


class Laid(msgspec.Struct, frozen=True):
    """Where a value is: in the record, or in the object `blob`. `size` is its bytes as JSON."""

    inline: Any = None
    blob: str | None = None
    size: int = 0


class Allowance:
    """What one request may have read of what is kept, in all: GOES_ON bytes. `param` is what made it so much."""

    def __init__(self, param: str) -> None:
        self._left, self._param = GOES_ON, param

    def take(self, laid: Laid) -> None:
        """Before it is read. Raises RequestError."""
        self.spend(laid.size)

    def spend(self, size: int) -> None:
        """Raises RequestError."""
        self._left -= size
        if self._left < 0:
            raise RequestError(
                f"What this request goes on from is over {GOES_ON} bytes; begin anew with a summary of it.",
                param=self._param,
                code="history_too_large",
            )


class Overflow:
    """Waits on the store: call it in a thread."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def lay(self, place: str, value: Any) -> Laid:
        """`place` begins the object's key, where there is to be one."""
        text = msgspec.json.encode(value)
        if len(text) <= INLINE:
            return Laid(msgspec.to_builtins(value), size=len(text))
        return Laid(blob=self.write(place, text), size=len(text))

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
