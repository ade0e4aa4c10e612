"""application/vnd.amazon.eventstream, read as it comes: the payloads of its events, and how it broke.

A frame is its whole length, the length of its headers, a CRC of those eight bytes, headers, payload, and a CRC of all
before it; numbers are big-endian. https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html has
the same frames; botocore.eventstream is the oracle of the tests.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

_PRELUDE = struct.Struct("!III")
_CRC = struct.Struct("!I")
_AROUND = 16
"""Bytes of a frame that are neither headers nor payload."""
MOST_HEADERS = 128 * 1024
MOST_PAYLOAD = 24 * 1024 * 1024
_WIDTHS = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value, by the number of its type; 0 and 1 are true and false, 6 and 7 say their length."""
_STRING = 7
_EVENT = "PayloadPart"


class BrokenFrame(Exception):
    """The bytes are no frames: a CRC that doesn't fit, a length that can't be."""


class Fault(NamedTuple):
    """What the sender broke the stream off with: an exception's name ("ModelStreamError") and its payload, or an
    error's code and message."""

    kind: str
    told: bytes


class Frames:
    """One stream's reader. `fault` is set once the stream has said that it failed; nothing is read after it.
    `pending` is how many bytes of an incomplete frame have come."""

    def __init__(self) -> None:
        self.fault: Fault | None = None
        self._held = b""
        self._payload_headers = b""

    @property
    def pending(self) -> int:
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """The payloads in the frames that `data` completes, joined. Raises BrokenFrame."""
        if self._held:
            data = self._held + data
        have, at = len(data), 0
        payloads: list[bytes] = []
        while have - at >= 12 and self.fault is None:
            whole, long, check = _PRELUDE.unpack_from(data, at)
            if crc32(data[at : at + 8]) != check:
                raise BrokenFrame("a frame's first checksum doesn't fit")
            if long > MOST_HEADERS or not 0 <= whole - long - _AROUND <= MOST_PAYLOAD:
                raise BrokenFrame("a frame's lengths can't be right")
            end = at + whole
            if end > have:
                break
            if crc32(data[at + 8 : end - 4], check) != _CRC.unpack_from(data, end - 4)[0]:
                raise BrokenFrame("a frame's checksum doesn't fit")
            headers = data[at + 12 : at + 12 + long]
            payload = data[at + 12 + long : end - 4]
            if headers == self._payload_headers or self._is_payload(headers, payload):
                payloads.append(payload)
            at = end
        self._held = data[at:]
        return payloads[0] if len(payloads) == 1 else b"".join(payloads)

    def _is_payload(self, headers: bytes, payload: bytes) -> bool:
        """Remembers the headers of a part of the payload, which all of a stream's parts share."""
        told = parsed(headers)
        kind = told.get(":message-type")
        if kind == "exception":
            self.fault = Fault(told.get(":exception-type") or "unknown", payload)
        elif kind == "error":
            said = told.get(":error-message") or ""
            self.fault = Fault(told.get(":error-code") or "unknown", said.encode())
        elif kind == "event" and told.get(":event-type") == _EVENT:
            self._payload_headers = headers
            return True
        return False


def parsed(headers: bytes) -> dict[str, str | None]:
    """A frame's headers; None for a value that is no string. Raises BrokenFrame."""
    found: dict[str, str | None] = {}
    at, end = 0, len(headers)
    try:
        while at < end:
            start = at + 1
            at = start + headers[at]
            name, kind = headers[start:at].decode(), headers[at]
            at += 1
            value: str | None = None
            if kind in (6, _STRING):
                size = int.from_bytes(headers[at : at + 2], "big")
                at += 2 + size
                if kind == _STRING:
                    value = headers[at - size : at].decode()
            elif kind > 1:
                at += _WIDTHS[kind]
            if at > end or name in found:
                raise BrokenFrame("a frame's headers can't be right")
            found[name] = value
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise BrokenFrame("a frame's headers can't be read") from error
    return found
