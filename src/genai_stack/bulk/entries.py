"""The lines of OpenAI's batch output and error files.

`response` is the HTTP answer, refusals included (then the error is in its body); `error` says what happened where there
was no answer at all. One of the two is null.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec


class Response(msgspec.Struct, frozen=True):
    status_code: int
    request_id: str
    body: msgspec.Raw


class EntryError(msgspec.Struct, frozen=True):
    code: str
    message: str


class Entry(msgspec.Struct, frozen=True):
    id: str
    custom_id: str
    response: Response | None
    error: EntryError | None

    @property
    def succeeded(self) -> bool:
        return self.error is None and self.response is not None and self.response.status_code == 200


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the answers count them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, other: Usage) -> Usage:
        return Usage(self.prompt_tokens + other.prompt_tokens, self.completion_tokens + other.completion_tokens)


class _Counted(msgspec.Struct):
    usage: Usage | None = None


def answered(custom_id: str, status: int, body: bytes) -> Entry:
    """The entry of an HTTP answer, a refusal included. A body that isn't JSON becomes an error entry."""
    try:
        plain: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return failed(custom_id, "engine_failed", f"the model answered {status} with something that isn't JSON")
    # Encoded anew: an entry is one line, whatever white space the answer came with.
    return Entry(_id(), custom_id, Response(status, _request(), msgspec.Raw(msgspec.json.encode(plain))), None)


def failed(custom_id: str, code: str, message: str) -> Entry:
    """The entry of a request that got no answer."""
    return Entry(_id(), custom_id, None, EntryError(code, message))


def usage(entry: Entry) -> Usage:
    if entry.response is None:
        return Usage()
    try:
        return msgspec.json.decode(entry.response.body, type=_Counted).usage or Usage()
    except msgspec.DecodeError:
        return Usage()


def _id() -> str:
    return f"batch_req_{secrets.token_hex(12)}"


def _request() -> str:
    return f"req_{secrets.token_hex(16)}"
