"""PDF by pypdf, DOCX by python-docx."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from ..errors import InvalidDocument

PAGES = 5000
UNPACKED = 256 * 1024 * 1024
"""Bytes that the parts of a .docx may unpack to, as they say themselves; a lie about it ends in the memory limit."""


def pdf(content: BinaryIO) -> str:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(content)
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidDocument("The PDF has a password; send it without one.", code="invalid_file")
        if len(reader.pages) > PAGES:
            raise InvalidDocument(f"The PDF has over {PAGES} pages; split it.", code="invalid_file")
        return "\n\n".join(page.extract_text() for page in reader.pages)
    except (
        PyPdfError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RecursionError,
        OSError,
    ) as error:
        raise _broken("PDF", error) from None


def docx(content: BinaryIO) -> str:
    from docx import Document
    from docx.opc.exceptions import OpcError
    from lxml.etree import LxmlError

    try:
        with zipfile.ZipFile(content) as archive:
            if sum(part.file_size for part in archive.infolist()) > UNPACKED:
                raise InvalidDocument(
                    f"The .docx unpacks to more than {UNPACKED} bytes; split it.", code="invalid_file"
                )
        content.seek(0)
        return "\n".join(_blocks(Document(content)))
    except (
        OpcError,
        LxmlError,
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        AttributeError,
        EOFError,
        OSError,
    ) as error:
        raise _broken(".docx", error) from None


def _blocks(document: Any) -> Iterator[str]:
    """Paragraphs and tables in the order they stand in; a row is a line."""
    from docx.table import Table

    for block in document.iter_inner_content():
        if isinstance(block, Table):
            for row in block.rows:
                yield "\t".join(cell.text.replace("\n", " ") for cell in row.cells)
        else:
            yield block.text


def _broken(kind: str, error: Exception) -> InvalidDocument:
    return InvalidDocument(f"The {kind} can't be read ({str(error)[:160]}); make it anew.", code="invalid_file")
