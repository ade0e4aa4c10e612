"""Safetensors files: read as they are, refused when anything about them is off."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai_stack.errors import InvalidModel
from genai_stack.hosting.weights import open_weights


def write(directory: Path, header: Any, data: bytes, *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    prefix = struct.pack("<Q", len(text) if length is None else length)
    (directory / "model.safetensors").write_bytes(prefix + text + data)
    return directory


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("dtype", "torch_name"), [("F32", "float32"), ("F16", "float16"), ("BF16", "bfloat16")]
)
def test_each_float_type_reads_as_its_float32(tmp_path: Path, dtype: str, torch_name: str) -> None:
    import torch
    from safetensors.torch import save_file

    tensor = torch.randn(3, 5).to(getattr(torch, torch_name))
    save_file({"a": tensor, "b": tensor * 2}, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    assert set(weights) == {"a", "b"}
    assert weights.shape("a") == weights.shape("b") == (3, 5)
    np.testing.assert_array_equal(weights["b"], (tensor * 2).float().numpy())


def test_shards_read_as_one(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.ones(2, np.float32)}, tmp_path / "model-1.safetensors")
    save_file({"b": np.zeros(2, np.float32)}, tmp_path / "model-2.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(open_weights(tmp_path)) == {"a", "b"}


@pytest.mark.parametrize("name", ["../evil.safetensors", "/etc/passwd", "model.bin", "missing.safetensors"])
def test_an_index_names_files_beside_it_only(tmp_path: Path, name: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(InvalidModel):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, b"\0" * 12),
        ({"a": entry(0, 8, [2])}, b"\0" * 4),
        ({"a": entry(0, 8, [2])}, b"\0" * 12),
        ({"a": entry(4, 12, [2])}, b"\0" * 12),
        ({"a": entry(0, 8, [3])}, b"\0" * 8),
        ({"a": entry(0, 8, [-2])}, b"\0" * 8),
        ({"a": entry(8, 0, [2])}, b"\0" * 8),
        ({"a": entry(0, 2**62, [2**60])}, b"\0" * 8),
        ({"a": entry(0, 8, [2], "F99")}, b"\0" * 8),
        ({"a": {"dtype": "F32", "shape": [2]}}, b"\0" * 8),
        ({"a": entry(0, 8, [2]) | {"extra": 1}}, b"\0" * 8),
        ([1, 2], b""),
        (b'{"a": ', b""),
        (b'{"a": "\xff"}', b""),
        (b"[" * 90_000, b""),
        (b"", b""),
    ],
    ids=str,
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, data: bytes) -> None:
    with pytest.raises(InvalidModel, match="isn't a valid safetensors file"):
        open_weights(write(tmp_path, header, data))


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**63, 2**64 - 1])
def test_a_header_of_a_wrong_length_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(InvalidModel):
        open_weights(write(tmp_path, {"a": entry(0, 8, [2])}, b"\0" * 8, length=length))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InvalidModel):
        open_weights(tmp_path)


def test_integers_are_no_weights(tmp_path: Path) -> None:
    weights = open_weights(write(tmp_path, {"a": entry(0, 8, [1], "I64")}, b"\0" * 8))
    with pytest.raises(InvalidModel, match="I64"):
        weights["a"]
    with pytest.raises(InvalidModel, match="no tensor"):
        weights["b"]
