"""What a request for a film says, as a form or as JSON, and the form in which the model gets it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import secrets
from typing import NamedTuple

import msgspec

from ...errors import ObjectNotFound, RequestError, TooLarge
from ...protocol.decoding import decode
from ...protocol.videos import Reference, VideoForm, VideoRequest
from .. import intake
from ..exchange import Exchange
from ..media_forms import received
from ..principal import Principal
from ..resources.files import Files

MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png", "png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg", "jpg"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp", "webp"),
    (re.compile(rb"....ftyp", re.DOTALL), "video/mp4", "mp4"),
)
"""How a reference begins, its content type, and the end of its name."""
_URL = re.compile(r"data:[a-z]+/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_FIELD = "input_reference"


class Asked(NamedTuple):
    """`request` is without its reference, which is `reference`."""

    request: VideoRequest
    reference: bytes | None


async def asked(exchange: Exchange, files: Files, by: Principal, limit: int) -> Asked:
    """Raises RequestError, TooLarge, NotFound for a file, Forbidden for a key that may read none, ClientGone."""
    kind = exchange.header(b"content-type") or b""
    if not kind.lower().startswith(b"multipart/"):
        request = decode(VideoRequest, await intake.body(exchange, limit))
        return await _referring(request, request.input_reference, None, files, by, limit)
    form, parts = await received(exchange, VideoForm, limit, _FIELD, keep=True)
    given = parts.contents.get(_FIELD, [])
    if len(given) > 1:
        raise _bad("comes twice; send one")
    told = {name: getattr(form, name) for name in VideoRequest.__struct_fields__ if name != _FIELD}
    reference = None
    if form.reference_file is not None or form.reference_url is not None:
        reference = Reference(form.reference_file, form.reference_url)
    return await _referring(VideoRequest(**told), reference, given[0] if given else None, files, by, limit)


async def _referring(
    request: VideoRequest,
    reference: Reference | None,
    sent: bytes | None,
    files: Files,
    by: Principal,
    limit: int,
) -> Asked:
    """The request, and its reference as bytes."""
    plain = msgspec.structs.replace(request, input_reference=None)
    if reference is None:
        return Asked(plain, None if sent is None else _checked(sent))
    if [sent, reference.file_id, reference.image_url].count(None) != 2:
        raise _bad("is one thing: a file, a 'file_id' or an 'image_url'; send one of them")
    if reference.image_url is not None:
        return Asked(plain, _checked(_decoded(reference.image_url)))
    by.check_scope("files")
    return Asked(plain, _checked(await asyncio.to_thread(_read, files, by, reference.file_id or "", limit)))


def _read(files: Files, by: Principal, id: str, limit: int) -> bytes:
    file = files.require(by.tenant, id, "user_data", f"{_FIELD}.file_id")
    if file.bytes > limit:
        raise TooLarge(
            f"The file has {file.bytes} bytes, over the limit of {limit}; take a smaller one, or raise "
            "service.max_body_bytes.",
            param=f"{_FIELD}.file_id",
        )
    try:
        return b"".join(files.read(file))
    except ObjectNotFound:
        raise files.absent(id) from None


def _decoded(url: str) -> bytes:
    start = _URL.match(url)
    if start is None:
        raise RequestError(
            "'input_reference.image_url' is no data: URL in base64, and nothing is fetched; send the picture itself.",
            param=f"{_FIELD}.image_url",
            code="unsupported_value",
        )
    try:
        return base64.b64decode(url[start.end() :], validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(
            "'input_reference.image_url' isn't base64; encode it again.",
            param=f"{_FIELD}.image_url",
            code="invalid_value",
        ) from None


def _checked(reference: bytes) -> bytes:
    if all(magic.match(reference) is None for magic, _, _ in MAGIC):
        raise _bad("is a picture (PNG, JPEG, WebP) or a film (MP4); send one of these")
    return reference


def _bad(what: str) -> RequestError:
    return RequestError(f"'{_FIELD}' {what}.", param=_FIELD, code="invalid_value")


def film_form(request: VideoRequest, reference: bytes | None) -> tuple[bytes, str]:
    """The body and the content type that vLLM-Omni's `/v1/videos/sync` takes."""
    boundary = secrets.token_hex(16).encode()
    parts = []
    for name in VideoRequest.__struct_fields__:
        value = getattr(request, name)
        if value is not None and name != _FIELD:
            head = b'--%b\r\nContent-Disposition: form-data; name="%b"' % (boundary, name.encode())
            parts.append(b"%b\r\n\r\n%b\r\n" % (head, str(value).encode()))
    if reference is not None:
        kind, end = next((kind, end) for magic, kind, end in MAGIC if magic.match(reference))
        head = b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="reference.%b"' % (
            boundary, _FIELD.encode(), end.encode(),
        )  # fmt: skip
        parts.append(b"%b\r\nContent-Type: %b\r\n\r\n%b\r\n" % (head, kind.encode(), reference))
    return b"".join((*parts, b"--%b--\r\n" % boundary)), f"multipart/form-data; boundary={boundary.decode()}"
