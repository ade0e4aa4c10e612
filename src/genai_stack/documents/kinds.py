"""Which reader a document gets: by the end of its name, and for a few kinds by how it begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import BinaryIO

from ..errors import InvalidDocument
from . import html, office, plain, tables

MOST_CHARACTERS = 20_000_000
"""Of text in one document; about five million tokens."""
_TEXTS = (
    ".txt .text .md .markdown .rst .tex .log .yaml .yml .toml .ini .cfg .xml .py .js .ts .java .c .h .cpp .hpp .cs .go "
    ".rs .rb .php .sh .css .sql .kt .swift .scala .r"
).split()
READERS: dict[str, Callable[[BinaryIO], str]] = {
    **dict.fromkeys(_TEXTS, plain.text),
    **dict.fromkeys((".html", ".htm", ".xhtml"), html.text),
    ".pdf": office.pdf,
    ".docx": office.docx,
    ".csv": tables.csv,
    ".tsv": tables.tsv,
    ".json": tables.json,
    ".jsonl": tables.json_lines,
    ".ndjson": tables.json_lines,
}


def text_of(name: str, content: BinaryIO) -> str:
    """Raises InvalidDocument."""
    suffix = PurePath(name).suffix.lower()
    start = content.read(8)
    content.seek(0)
    if start.startswith(b"%PDF-"):
        suffix = ".pdf"
    reader = READERS.get(suffix)
    if reader is None and not suffix:
        reader = plain.text
    if reader is None:
        known = ", ".join(kind for kind in READERS if kind not in _TEXTS)
        raise InvalidDocument(
            f"A '{suffix[:20]}' file isn't read here; send one of {known}, or text as .txt or .md.",
            code="unsupported_file",
        )
    try:
        text = reader(content)
    except MemoryError:
        raise too_large() from None
    except ImportError as error:
        raise InvalidDocument(
            f"A '{suffix}' file needs what isn't installed here ({error}); install genai-stack[local].",
            code="unsupported_file",
        ) from None
    if len(text) > MOST_CHARACTERS:
        raise too_large()
    if not text.strip():
        raise InvalidDocument(
            "The file has no text in it (a scanned page is a picture); send one that has.", code="invalid_file"
        )
    return text


def too_large() -> InvalidDocument:
    return InvalidDocument(
        f"The file is too large to read, or unpacks to more than {MOST_CHARACTERS} characters; split it.",
        code="invalid_file",
    )
