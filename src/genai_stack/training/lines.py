"""JSONL files as numbered lines. What is packed, or text of another kind, is refused by name and never unpacked."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import InvalidData
from .strict import Fault, json_object

LINE_BYTES = 16 << 20
"""A line over this many bytes is a fault."""
_KINDS = (
    (b"\x1f\x8b", "gzip-compressed; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"PK\x05\x06", "a zip archive; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed; unpack it first"),
    (b"BZh", "bzip2-compressed; unpack it first"),
    (b"\xfd7zXZ\0", "xz-compressed; unpack it first"),
    (b"\x04\x22\x4d\x18", "lz4-compressed; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (b"PAR1", "a Parquet file; let its name end in .parquet"),
    (b"ARROW1", "an Arrow file; write it as Parquet or JSONL"),
    (codecs.BOM_UTF16_LE, "UTF-16 text; save it as UTF-8"),
    (codecs.BOM_UTF16_BE, "UTF-16 text; save it as UTF-8"),
    *(
        (bytes((0x80, protocol)), "a pickle, which is never opened; write it as JSONL")
        for protocol in range(2, 6)
    ),
)
_TAR = slice(257, 262)


def rows(path: Path) -> Iterator[tuple[int, dict[str, object] | Fault]]:
    """The objects of a JSONL file with their line numbers (1-based), a Fault in place of each that can't be read.

    Blank lines are skipped, and so is a byte order mark. Lines end in LF or CR LF. Memory is one line's. Raises
    InvalidData for a file that isn't JSONL as a whole, OSError for one that can't be read.
    """
    with path.open("rb") as stream:
        head = stream.read(512)
        for magic, what in _KINDS:
            if head.startswith(magic):
                raise InvalidData(f"{path}: is {what}")
        if head[_TAR] == b"ustar":
            raise InvalidData(f"{path}: is a tar archive; unpack it first")
        stream.seek(len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
        for number, line in _lines(stream):
            try:
                if line is None:
                    raise Fault(f"longer than {LINE_BYTES} bytes")
                if line.strip():
                    yield number, json_object(line)
            except Fault as fault:
                yield number, fault


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Numbered lines; None for one that is too long, whose rest is passed over unread."""
    number = 0
    while line := stream.readline(LINE_BYTES + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) <= LINE_BYTES:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(1 << 20)
        yield number, None
