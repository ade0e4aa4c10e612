"""An error as the client meets it: OpenAI's body, the SSE event that ends a broken stream, and its headers."""

from __future__ import annotations

import math

import msgspec

from ..errors import GenAIStackError, RangeNotSatisfiable

DONE = b"data: [DONE]\n\n"


def body(error: GenAIStackError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, all four keys."""
    return msgspec.json.encode(error.body())


def event(error: GenAIStackError) -> bytes:
    """The last event of a stream that failed; no `[DONE]` follows it."""
    return b"data: " + body(error) + b"\n\n"


def headers(error: GenAIStackError) -> list[tuple[str, str]]:
    """`retry-after` in whole seconds, `x-should-retry` where the error knows, and the challenge of a 401."""
    found: list[tuple[str, str]] = []
    if error.retry_after is not None:
        found.append(("retry-after", str(math.ceil(error.retry_after))))
    if error.should_retry is not None:
        found.append(("x-should-retry", "true" if error.should_retry else "false"))
    if error.status == 401:
        found.append(("www-authenticate", 'Bearer realm="genai-stack"'))
    if isinstance(error, RangeNotSatisfiable):
        found.append(("content-range", f"bytes */{error.size}"))
    return found
