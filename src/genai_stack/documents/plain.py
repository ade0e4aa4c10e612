"""Text as it is, in the encodings that say so themselves, else UTF-8, else Windows-1252."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from ..errors import InvalidDocument

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def text(content: BinaryIO) -> str:
    """Line ends as one character. Raises InvalidDocument for what is no text."""
    data = content.read()
    found = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    try:
        decoded = data.decode(found or "utf-8")
    except UnicodeDecodeError:
        decoded = "" if found else data.decode("cp1252", "replace")
    if "\0" in decoded or (data and not decoded):
        raise InvalidDocument(
            "The file isn't text; send it under the name of what it is, or as UTF-8 text.", code="invalid_file"
        )
    return decoded.replace("\r\n", "\n").replace("\r", "\n")
