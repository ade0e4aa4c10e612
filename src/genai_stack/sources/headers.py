"""What a safetensors file says it holds, checked against the file. Reads the header only.

The format (safetensors, "Format"): eight bytes with the header's length, little-endian; a JSON object that begins with
`{` and may be padded with spaces; the tensors' bytes, without holes, to the end of the file.
"""

from __future__ import annotations

import json
import stat
import struct
from pathlib import Path
from typing import Any

import msgspec

from ..errors import InvalidModel

HEADER_BYTES = 32 << 20
"""The longest header that is read: room for some 250,000 tensors."""
DIMENSIONS = 16
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


class Tensor(msgspec.Struct, frozen=True):
    """Where one tensor lies: bytes [start, end) of the file, row-major, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(file: Path) -> dict[str, Tensor]:
    """The tensors by name, in the order they lie in. Every entry agrees with the file: its size is that of its shape,
    none overlaps another, and together they fill the file. Raises InvalidModel."""
    try:
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            raise _broken(file, "it isn't a file")
        size = found.st_size
        with file.open("rb") as stream:
            prefix = stream.read(8)
            _refuse_other_formats(file, prefix)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
            if not 2 <= length <= size - 8:
                raise _broken(file, f"a header of {length} bytes in a file of {size}")
            if length > HEADER_BYTES:
                raise _broken(file, f"a header of {length} bytes, and {HEADER_BYTES} are the limit")
            raw = stream.read(length)
    except OSError as error:
        raise InvalidModel(
            f"{file}: {error.strerror}; give a model directory whose files can be read"
        ) from None
    return _laid_out(file, _entries(file, raw), 8 + length, size)


def _refuse_other_formats(file: Path, prefix: bytes) -> None:
    if prefix[:1] == b"\x80" and prefix[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        raise InvalidModel(
            f"{file} is pickled, whatever its name, and unpickling runs code; get real safetensors"
        )
    if prefix.startswith((b"PK\3\4", b"\x1f\x8b")):
        raise InvalidModel(
            f"{file} is an archive, whatever its name, and is never unpacked; get real safetensors"
        )


def _entries(file: Path, raw: bytes) -> dict[str, _Entry]:
    if raw[:1] != b"{":
        raise _broken(file, "its header doesn't begin with '{'")
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_once)
        about = header.pop("__metadata__", {})
        msgspec.convert(about, dict[str, str])
        return msgspec.convert(header, dict[str, _Entry])
    except (ValueError, RecursionError) as error:  # JSON, UTF-8, msgspec's errors and numbers of 5,000 digits
        raise _broken(file, str(error)[:300] or "nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in its header")
    return made


def _laid_out(file: Path, entries: dict[str, _Entry], data: int, size: int) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    expected = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, end = entry.data_offsets
        wanted = _bytes(file, name, entry)
        if end - start != wanted:
            raise _broken(file, f"tensor {name[:80]!r} of shape {entry.shape} can't take {end - start} bytes")
        if start != expected:
            raise _broken(file, f"tensor {name[:80]!r} starts at {start}, the one before it ends at {expected}")
        if end > size - data:
            raise _broken(file, f"tensor {name[:80]!r} ends at {end}, the data at {size - data}")
        tensors[name] = Tensor(entry.dtype, tuple(entry.shape), data + start, data + end)
        expected = end
    if expected != size - data:
        raise _broken(file, f"{size - data - expected} bytes belong to no tensor")
    return tensors


def _bytes(file: Path, name: str, entry: _Entry) -> int:
    bits = BITS.get(entry.dtype)
    if bits is None:
        raise _broken(file, f"tensor {name[:80]!r} has the dtype {entry.dtype[:40]!r}")
    if len(entry.shape) > DIMENSIONS or any(not 0 <= n < 2**63 for n in entry.shape):
        raise _broken(file, f"tensor {name[:80]!r} has a shape that no tensor has")
    for n in entry.shape:
        bits *= n
    if bits % 8:
        raise _broken(file, f"tensor {name[:80]!r} doesn't end on a byte")
    return bits // 8


def _broken(file: Path, why: str) -> InvalidModel:
    return InvalidModel(f"{file} isn't a valid safetensors file: {why}; fetch or export it again")
