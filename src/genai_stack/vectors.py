"""What every VectorIndex refuses, in the same words."""

from __future__ import annotations

import re

from .errors import RequestError

WIDTH = 4
"""Bytes of a float32."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def checked(id: str, what: str) -> str:
    """`id` as it is; `what` ("a file") is the message's. Raises RequestError."""
    if not _ID.fullmatch(id):
        raise RequestError(f"{what} has an id of 1 to 128 letters, digits, '_' and '-'; choose another")
    return id


def wrong_size(got: int, dimensions: int) -> RequestError:
    """`got` is a vector's bytes, `dimensions` the numbers it should have, 0 where it could have any."""
    return RequestError(
        f"The vectors have {got / WIDTH:g} numbers where {dimensions or 'whole vectors'} are wanted; embed with "
        "the model that the store was made with.",
        code="invalid_vector",
    )


def bad_vector(why: str) -> RequestError:
    return RequestError(f"{why}; embed the text again", code="invalid_vector")


def bytes_of(text: str) -> bytes:
    """UTF-8, with a question mark for what has none."""
    return text.encode(errors="replace")
