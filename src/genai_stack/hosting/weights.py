"""Tensors out of safetensors files, checked before anything is read. Pickles are never opened."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidModel

FloatArray = NDArray[np.float32]
_WIDTH = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "I8": 1, "BOOL": 1, "F64": 8, "I16": 2}
_FLOATS = ("F32", "F16", "BF16")
_MAX_HEADER = 100_000_000


class Tensor(msgspec.Struct, frozen=True):
    """Where one tensor lies: bytes [start, end) of `file`, row-major, little-endian."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


class Weights(Mapping[str, FloatArray]):
    """A model's tensors by name, read as float32 each time one is asked for; nothing is held in memory."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> FloatArray:
        """Raises InvalidModel for a tensor that isn't there, or isn't floating point."""
        tensor = self._tensors.get(name)
        if tensor is None:
            raise InvalidModel(f"the weights hold no tensor {name!r}; check that config.json belongs to them")
        if tensor.dtype not in _FLOATS:
            raise InvalidModel(f"tensor {name!r} is {tensor.dtype}; export the model as F32, F16 or BF16")
        raw = np.memmap(
            tensor.file, dtype=np.uint8, mode="r", offset=tensor.start, shape=(tensor.end - tensor.start,)
        )
        return _to_float32(raw, tensor.dtype).reshape(tensor.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def shape(self, name: str) -> tuple[int, ...]:
        return self._tensors[name].shape

    def parameters(self) -> int:
        """How many numbers the model is made of."""
        return sum(math.prod(t.shape) for t in self._tensors.values())


def open_weights(directory: Path, stem: str = "model") -> Weights:
    """The tensors of `<stem>.safetensors`, or of the shards that `<stem>.safetensors.index.json` names.
    Raises InvalidModel."""
    tensors: dict[str, Tensor] = {}
    for file in weight_files(directory, stem):
        for name, tensor in _read_header(file).items():
            if name in tensors:
                raise InvalidModel(
                    f"tensor {name!r} stands in two files of {directory}; export the model again"
                )
            tensors[name] = tensor
    return Weights(tensors)


def weight_files(directory: Path, stem: str = "model") -> list[Path]:
    """Raises InvalidModel when a shard is missing or lies outside `directory`."""
    index = directory / f"{stem}.safetensors.index.json"
    if not index.is_file():
        names = {f"{stem}.safetensors"}
    else:
        try:
            names = set(msgspec.json.decode(index.read_bytes(), type=_Index).weight_map.values())
        except msgspec.MsgspecError as error:
            raise InvalidModel(f"{index}: {error}") from error
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InvalidModel(f"{index} names {name!r}; a shard is a .safetensors file in the same directory")
        if not (directory / name).is_file():
            raise InvalidModel(f"{directory / name} is missing")
    return [directory / name for name in sorted(names)]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def _read_header(file: Path) -> dict[str, Tensor]:
    """Every entry of the header, checked against the file: sizes agree, nothing overlaps, nothing lies outside."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else -1
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            raise _broken(file, f"a header of {length} bytes in a file of {size}")
        try:
            header: dict[str, Any] = msgspec.json.decode(stream.read(length), type=dict[str, Any])
            header.pop("__metadata__", None)
            entries = msgspec.convert(header, dict[str, _Entry])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _broken(file, str(error)) from error
    data = 8 + length
    expected = 0
    tensors: dict[str, Tensor] = {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, end = entry.data_offsets
        width = _WIDTH.get(entry.dtype)
        if width is None:
            raise _broken(file, f"tensor {name!r} has the dtype {entry.dtype!r}")
        if any(n < 0 for n in entry.shape) or end - start != math.prod(entry.shape) * width:
            raise _broken(file, f"tensor {name!r} of shape {entry.shape} can't take {end - start} bytes")
        if start != expected:
            raise _broken(file, f"tensor {name!r} starts at {start}, the one before it ends at {expected}")
        if end > size - data:
            raise _broken(file, f"tensor {name!r} ends at {end}, the data at {size - data}")
        tensors[name] = Tensor(file, entry.dtype, tuple(entry.shape), data + start, data + end)
        expected = end
    if expected != size - data:
        raise _broken(file, f"{size - data - expected} bytes belong to no tensor")
    return tensors


def _broken(file: Path, why: str) -> InvalidModel:
    return InvalidModel(f"{file} isn't a valid safetensors file: {why}; fetch or export it again")


def _to_float32(raw: NDArray[np.uint8], dtype: str) -> FloatArray:
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F16":
        return raw.view("<f2").astype(np.float32)
    return np.array(raw.view("<f4"))
