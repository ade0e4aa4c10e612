"""A form with files in it, held whole, as it goes on to a model: read for what it says, passed on as it came.

https://www.rfc-editor.org/rfc/rfc7578. Parsed by python-multipart.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import msgspec
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ..errors import RequestError
from ..protocol.decoding import convert
from . import intake
from .exchange import Exchange

PARTS = 64
F = TypeVar("F", bound=msgspec.Struct)


class MediaForm(NamedTuple):
    """`files` are by field how many bytes each has, and `contents` those bytes where they are kept."""

    body: bytes
    kind: str
    boundary: bytes
    fields: dict[str, str]
    files: dict[str, list[int]]
    contents: dict[str, list[bytes]]

    @property
    def told(self) -> bytes:
        """What the form says, whichever boundary a client chose this time."""
        return self.body.replace(b"--" + self.boundary, b"--")

    def naming(self, model: str) -> bytes:
        """The body, with the model's name in it where it had none."""
        if "model" in self.fields:
            return self.body
        part = b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n'
        start = self.body.index(b"--" + self.boundary)
        return self.body[:start] + part % (self.boundary, model.encode()) + self.body[start:]


async def received(
    exchange: Exchange, kind: type[F], limit: int, *files: str, keep: bool = False
) -> tuple[F, MediaForm]:
    """The form's fields as a `kind`, and the form, with its files' contents where they are to `keep`. Raises
    RequestError for what is no such form, for an unknown field and for a file in a field that isn't one of `files`;
    TooLarge, ClientGone."""
    given = [value for name, value in exchange.headers if name == b"content-type"]
    content_type, options = parse_options_header(given[0] if len(given) == 1 else None)
    boundary = options.get(b"boundary", b"")
    if content_type != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
        raise RequestError(
            "The body isn't a form; send it as multipart/form-data with a boundary.",
            code="unsupported_content_type",
        )
    body = await intake.body(exchange, limit, form=True)
    form = _parsed(body, given[0].decode("latin-1"), boundary, keep)
    for name in form.files:
        if name not in files:
            raise RequestError(
                f"'{name[:80]}' isn't a file here; leave it out.", param=name[:80], code="unknown_parameter"
            )
    for name in form.fields:
        if name in files:
            raise RequestError(
                f"'{name}' has no file; send one with a filename.", param=name, code="invalid_value"
            )
    return convert(kind, form.fields), form


def _parsed(body: bytes, kind: str, boundary: bytes, keep: bool) -> MediaForm:
    fields: dict[str, str] = {}
    found: dict[str, list[int]] = {}
    contents: dict[str, list[bytes]] = {}
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1
        if count > PARTS:
            raise _bad(f"has over {PARTS} fields")

    def on_field(field: Any) -> None:
        counted()
        name = _text(field.field_name)
        if name in fields:
            raise _bad(f"has the field '{name[:80]}' twice", name[:80])
        fields[name] = _text(field.value or b"")

    def on_file(file: Any) -> None:
        counted()
        name = _text(file.field_name)
        found.setdefault(name, []).append(file.size)
        if keep:
            file.file_object.seek(0)
            contents.setdefault(name, []).append(file.file_object.read())
        file.close()

    ended = False

    def on_end() -> None:
        nonlocal ended
        ended = True

    config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}
    parser = FormParser("multipart/form-data", on_field, on_file, on_end, boundary=boundary, config=config)
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _bad(f"can't be read: {str(error)[:200]}") from None
    if not ended:
        raise _bad("ends without its last boundary")
    return MediaForm(body, kind, boundary, fields, found, contents)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _bad("has something that isn't UTF-8") from None


def _bad(what: str, param: str | None = None) -> RequestError:
    return RequestError(f"The form {what}; correct it and send it again.", param=param, code="invalid_form")
