"""Names as SQLite keeps them: UTF-8 bytes, whose order is that of code points, as in DynamoDB and S3."""

from __future__ import annotations

from genai_stack.errors import RequestError

MAX_BYTES = 1024


def encode(name: str) -> bytes:
    """Any text, lone surrogates included: what was never stored is simply not found."""
    return name.encode("utf-8", "surrogatepass")


def decode(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")


def checked(name: str, what: str) -> bytes:
    """`name` encoded for storing. Raises RequestError unless it has 1 to 1024 bytes."""
    key = encode(name)
    if not 0 < len(key) <= MAX_BYTES:
        raise RequestError(f"{what} has 1 to {MAX_BYTES} bytes, this one {len(key)}; choose another")
    return key


def within(column: str, prefix: str) -> tuple[list[str], list[bytes]]:
    """SQL conditions, and their values, for keys that begin with `prefix`."""
    if not prefix:
        return [], []
    start = encode(prefix)
    # UTF-8 has no byte 0xFF, so the last byte can always grow by one.
    return [f"{column} >= ?", f"{column} < ?"], [start, start[:-1] + bytes((start[-1] + 1,))]
