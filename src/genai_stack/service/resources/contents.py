"""What an object holds, whole or a range of it (https://www.rfc-editor.org/rfc/rfc9110#name-range), as it is read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import quote

from ...errors import NotFound, ObjectNotFound, RangeNotSatisfiable
from ..exchange import ClientGone, Exchange

KIND = b"application/octet-stream"
_RANGE = re.compile(rb"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")


class Range(NamedTuple):
    """Bytes `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int


class Content(NamedTuple):
    """`read` gives bytes `start` (inclusive) to `end` (exclusive); `sha256` is of all of it, `filename` what a client
    may call it. `absent` is raised when it was removed meanwhile."""

    filename: str
    size: int
    sha256: str
    read: Callable[[int, int], Iterator[bytes]]
    absent: NotFound
    kind: bytes = KIND


async def send(exchange: Exchange, content: Content) -> None:
    """Answers with the content. Raises NotFound, RangeNotSatisfiable."""
    etag, size = b'"%s"' % content.sha256.encode(), content.size
    part = None if exchange.header(b"if-range") not in (None, etag) else _range(exchange, size)
    start, end = part or Range(0, size)
    try:
        chunks = await asyncio.to_thread(content.read, start, end)
    except ObjectNotFound:
        raise content.absent from None
    name = quote(content.filename, safe="")
    headers = [
        (b"content-length", b"%d" % (end - start)),
        (b"accept-ranges", b"bytes"),
        (b"etag", etag),
        (b"content-disposition", b"attachment; filename*=UTF-8''" + name.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    if part:
        headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
    await exchange.begin(206 if part else 200, content.kind, headers)
    if exchange.method != "HEAD":
        watch = asyncio.create_task(_until_gone(exchange))
        try:
            while not watch.done() and (chunk := await asyncio.to_thread(next, chunks, b"")):
                await exchange.write(chunk)
            if watch.done():
                raise ClientGone
        finally:
            watch.cancel()
            await asyncio.to_thread(_close, chunks)
    await exchange.finish()


def _range(exchange: Exchange, size: int) -> Range | None:
    """None where the whole is asked for, or what can't be understood, or several ranges: all three get the whole."""
    match = _RANGE.fullmatch((exchange.header(b"range") or b"").strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(size - int(suffix), 0), size if int(suffix) else 0
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable(f"The file has {size} bytes; ask for a range within them.", size=size)
    return Range(start, end)


async def _until_gone(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass


def _close(chunks: Iterator[bytes]) -> None:
    if (close := getattr(chunks, "close", None)) is not None:
        close()
