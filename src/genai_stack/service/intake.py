"""What comes in with a request, read with care: its key and its body."""

from __future__ import annotations

from ..errors import RequestError, TooLarge, Unauthorized
from .exchange import ClientGone, Exchange

WAIT_MOST_SECONDS = 900
"""As long as API Gateway lets an answer take that is streamed."""


def bearer(exchange: Exchange) -> bytes:
    """The key of `Authorization: Bearer …`. Raises Unauthorized unless there is exactly one such header."""
    found = [value for name, value in exchange.headers if name == b"authorization"]
    if not found:
        raise Unauthorized("No key was sent; send one as the header 'Authorization: Bearer <key>'.")
    if len(found) > 1:
        raise Unauthorized("More than one Authorization header was sent; send one.")
    scheme, _, key = found[0].partition(b" ")
    key = key.strip()
    if scheme.lower() != b"bearer" or not key:
        raise Unauthorized("The Authorization header isn't a bearer key; send 'Authorization: Bearer <key>'.")
    return key


def patience(exchange: Exchange) -> float | None:
    """The seconds of `x-genai-wait`, for which a request waits until its model is up; None where it isn't sent.
    Raises RequestError."""
    value = exchange.header(b"x-genai-wait")
    if value is None:
        return None
    if len(value) > 4 or not value.isdigit() or int(value) > WAIT_MOST_SECONDS:
        raise RequestError(
            f"x-genai-wait is no number of seconds up to {WAIT_MOST_SECONDS}; send one, such as 120, or leave it out.",
            code="invalid_wait",
        )
    return float(value)


async def body(exchange: Exchange, limit: int, *, form: bool = False) -> bytes:
    """The whole body, whatever its content type says (curl calls any body a form), multipart (unless `form`) and
    compressed excepted.

    Raises TooLarge as soon as more than `limit` bytes are announced or have come, RequestError, ClientGone.
    """
    exchange.uploading = True
    for name, value in exchange.headers:
        if name == b"content-length":
            if len(value) > 18 or not value.isdigit() or int(value) > limit:
                raise _too_large(limit)
        elif name == b"content-type":
            if value.lower().startswith(b"multipart/") and not form:
                raise RequestError(
                    "The body is a form; send one JSON object with 'Content-Type: application/json'.",
                    code="unsupported_content_type",
                )
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise RequestError(
                "The body is compressed; send it as it is, without Content-Encoding.",
                code="unsupported_content_encoding",
            )
    message = await exchange.receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        exchange.uploading = False
        whole: bytes = message.get("body", b"")
        if len(whole) > limit:
            raise _too_large(limit)
        return whole
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            exchange.uploading = False
            return b"".join(parts)
        message = await exchange.receive()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is over the limit of {limit} bytes; send less, or raise service.max_body_bytes.")
