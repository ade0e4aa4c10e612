"""Whether a stream of server-sent events has said how it ended, told from its last bytes."""

from __future__ import annotations

ENOUGH = 4096
"""Bytes at the end that tell it; an error event is shorter."""
_DONE = b"data: [DONE]"
_ERROR = b'data: {"error"'


def tail(before: bytes, chunk: bytes) -> bytes:
    """The last bytes of a stream that went on with `chunk`."""
    return (before + chunk)[-ENOUGH:]


def ended(last: bytes) -> bool:
    """`last` as `tail` gives it: `[DONE]` is at its end, or a whole error event is."""
    return last.rstrip().endswith(_DONE) or (_ERROR in last and last.endswith((b"\n\n", b"\r\n\r\n")))
