"""Tensors out of safetensors files, checked before anything is read. Pickles are never opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidModel
from ..sources.headers import read_header

FloatArray = NDArray[np.float32]
_FLOATS = ("F32", "F16", "BF16")


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


def open_weights(directory: Path, stem: str = "model") -> Weights:
    """The tensors of `<stem>.safetensors`, or of the shards that `<stem>.safetensors.index.json` names.
    Raises InvalidModel."""
    tensors: dict[str, Tensor] = {}
    for file in weight_files(directory, stem):
        for name, found in read_header(file).items():
            if name in tensors:
                raise InvalidModel(
                    f"tensor {name!r} stands in two files of {directory}; export the model again"
                )
            tensors[name] = Tensor(file, found.dtype, found.shape, found.start, found.end)
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


def _to_float32(raw: NDArray[np.uint8], dtype: str) -> FloatArray:
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "F16":
        return raw.view("<f2").astype(np.float32)
    return np.array(raw.view("<f4"))
