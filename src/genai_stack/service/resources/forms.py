"""multipart/form-data with one file in it, read as it comes: the file goes on to a store, nothing of it is kept here.

https://www.rfc-editor.org/rfc/rfc7578. Parsed by python-multipart.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ...errors import RequestError, TooLarge
from ..exchange import ClientGone, Exchange

PIECE = 256 * 1024
"""Bytes that go to the store at a time, at the least but for the last."""
FIELD_BYTES = 4096
PARTS = 16
FORM_BYTES = PARTS * 2 * FIELD_BYTES
"""Room for everything in a form but its file."""
T = TypeVar("T")


class Form(msgspec.Struct, frozen=True):
    """The plain fields, and the name that came with the file."""

    fields: dict[str, str]
    filename: str


async def receive(
    exchange: Exchange, file: str, limit: int, store: Callable[[Iterator[bytes]], T]
) -> tuple[Form, T]:
    """The form, and what `store` made of the content of the field `file`; `store` runs in a thread, and is told of
    whatever breaks the body off by an exception from its iterator.

    Raises RequestError for what is no such form, TooLarge for a file over `limit` bytes, ClientGone. When it raises
    after `store` has returned, what was stored is the caller's to remove: `Unfinished` says so.
    """
    exchange.uploading = True
    announced = exchange.header(b"content-length")
    if announced is not None and (not announced.isdigit() or int(announced[:20]) > limit + FORM_BYTES):
        raise too_large(limit)
    reading = _Reading(exchange, _boundary(exchange), file, limit)
    await reading.until_file()
    stored = await _pulled(reading, store)
    try:
        await reading.rest()
    except (RequestError, ClientGone) as error:
        raise Unfinished(stored, error) from error
    exchange.uploading = False
    return Form(reading.fields, reading.filename or file), stored


class Unfinished(Exception):
    """The file was `stored` whole, and then came `error`."""

    def __init__(self, stored: Any, error: RequestError | ClientGone) -> None:
        super().__init__(stored, error)
        self.stored, self.error = stored, error


async def _pulled(reading: _Reading, store: Callable[[Iterator[bytes]], T]) -> T:
    """Runs `store` in a thread, on pieces that the loop reads when it asks for them: what isn't asked for isn't read,
    so that no more than a piece is ever in memory."""
    loop = asyncio.get_running_loop()
    asked: set[concurrent.futures.Future[bytes]] = set()
    left = False

    def pieces() -> Iterator[bytes]:
        while True:
            if left:
                raise ClientGone
            future = asyncio.run_coroutine_threadsafe(reading.piece(), loop)
            asked.add(future)
            try:
                piece = future.result()
            except concurrent.futures.CancelledError:
                raise ClientGone from None
            finally:
                asked.discard(future)
            if not piece:
                return
            yield piece

    try:
        return await asyncio.to_thread(store, pieces())
    except asyncio.CancelledError:
        left = True
        for future in list(asked):
            future.cancel()
        raise


class _Reading:
    def __init__(self, exchange: Exchange, boundary: bytes, file: str, limit: int) -> None:
        self._exchange, self._file, self._limit = exchange, file, limit
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self._ready: list[bytes] = []
        self._size = self._parts = 0
        self._in_file = self._file_ended = self._ended = False
        self._name: str | None = None
        self._value = b""
        self._header, self._headers = (b"", b""), dict[bytes, bytes]()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._whole,
            },
        )

    async def until_file(self) -> None:
        """Raises RequestError when the form ends without one."""
        while self.filename is None and not self._file_ended:
            if not await self._feed():
                raise _bad(f"has no file in the field '{self._file}'", self._file)

    async def piece(self) -> bytes:
        """The file's next bytes, none at its end."""
        while not self._file_ended and sum(map(len, self._ready)) < PIECE:
            if not await self._feed() and not self._file_ended:
                raise _bad("ends in the middle of the file")
        piece, self._ready = b"".join(self._ready), []
        return piece

    async def rest(self) -> None:
        while await self._feed():
            pass
        if not self._ended:
            raise _bad("ends without its last boundary")

    async def _feed(self) -> bool:
        """Reads one message; False when there are no more."""
        if not self._exchange.uploading:
            return False
        message = await self._exchange.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if not message.get("more_body"):
            self._exchange.uploading = False
        try:
            if body := message.get("body", b""):
                self._parser.write(body)
        except FormParserError as error:
            raise _bad(f"can't be read: {str(error)[:200]}") from None
        return True

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS:
            raise _bad(f"has over {PARTS} fields")
        self._headers, self._value, self._name, self._in_file = {}, b"", None, False

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = (b"", b"")

    def _headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise _bad("has a part that isn't named")
        self._name = _text(options[b"name"], "a field's name")
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in (
            b"binary",
            b"7bit",
            b"8bit",
        ):
            raise _bad("has a part that is encoded; send it as it is")
        if self._name == self._file:
            if self.filename is not None:
                raise _bad(f"has two files in the field '{self._file}'", self._file)
            self.filename = _text(options.get(b"filename", b""), "the file's name")
            self._in_file = True
        elif self._name in self.fields:
            raise _bad(f"has the field '{self._name[:80]}' twice", self._name[:80])

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._size += end - start
            if self._size > self._limit:
                raise too_large(self._limit)
            self._ready.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) > FIELD_BYTES:
            raise _bad(f"has a field over {FIELD_BYTES} bytes", self._name)

    def _end(self) -> None:
        if self._in_file:
            self._file_ended = True
        elif self._name is not None:
            self.fields[self._name] = _text(self._value, f"the field '{self._name[:80]}'")

    def _whole(self) -> None:
        self._ended = True


def _boundary(exchange: Exchange) -> bytes:
    given = [value for name, value in exchange.headers if name == b"content-type"]
    kind, options = parse_options_header(given[0] if len(given) == 1 else None)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
        raise RequestError(
            "The body isn't a form; send it as multipart/form-data with a boundary.",
            code="unsupported_content_type",
        )
    if (exchange.header(b"content-encoding") or b"identity").lower() != b"identity":
        raise RequestError(
            "The body is compressed; send it as it is, without Content-Encoding.",
            code="unsupported_content_encoding",
        )
    return boundary


def too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The file is over the limit of {limit} bytes; send less, or raise service.max_file_bytes.",
        param="file",
    )


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _bad(f"has {what} in something that isn't UTF-8") from None


def _bad(what: str, param: str | None = None) -> RequestError:
    return RequestError(f"The form {what}; correct it and send it again.", param=param, code="invalid_form")
