"""Safetensors headers: what agrees with the file is read, everything else is refused without reading on."""

from __future__ import annotations

import contextlib
import json
import pickle
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.errors import InvalidModel
from genai_stack.sources import headers
from genai_stack.sources.headers import BITS, Tensor, read_header


def blob(header: Any, data: int, *, pad: int = 0) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * pad
    return struct.pack("<Q", len(text)) + text + bytes(data)


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry("BF16", [2, 3], 4, 16),
        "a": entry("F32", [], 0, 4),
        "none": entry("F32", [0, 5], 16, 16),
        "half": entry("F4", [2], 16, 17),
    }
    file.write_bytes(blob(header, 17, pad=5))
    data = file.stat().st_size - 17
    assert read_header(file) == {
        "a": Tensor("F32", (), data, data + 4),
        "b": Tensor("BF16", (2, 3), data + 4, data + 16),
        "none": Tensor("F32", (0, 5), data + 16, data + 16),
        "half": Tensor("F4", (2,), data + 16, data + 17),
    }


A = entry("U8", [4], 0, 4)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "a header of 0 bytes"),
        (b"\1\2", "a header of 0 bytes"),
        (struct.pack("<Q", 2**63) + b"{}", "a header of 9223372036854775808 bytes"),
        (struct.pack("<Q", 3) + b"{}", "a header of 3 bytes in a file of 10"),
        (blob(b" {}", 0), "doesn't begin with"),
        (blob(b"[]", 0), "doesn't begin with"),
        (blob(b"{]", 0), "Expecting"),
        (blob(b'{"a": "\xff"}', 0), "decode"),
        (blob(b'{"a":' + b"[" * 100_000, 0), ""),
        (blob(b'{"a": ' + b"9" * 10_000 + b"}", 0), ""),
        (blob(b'{"a": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}, "a": {}}', 0), "stands twice"),
        (blob({"a": {**A, "more": 1}}, 4), "unknown field"),
        (blob({"a": {"dtype": "U8"}}, 4), "missing required field"),
        (blob({"a": 1}, 4), "Expected `object`"),
        (blob({"__metadata__": {"a": 1}}, 0), "Expected `str`"),
        (blob({"a": {**A, "dtype": "OBJECT"}}, 4), "the dtype 'OBJECT'"),
        (blob({"a": {**A, "shape": [-4]}}, 4), "a shape that no tensor has"),
        (blob({"a": {**A, "shape": [1] * 17}}, 4), "a shape that no tensor has"),
        (blob({"a": {**A, "shape": [2**62, 2**62]}}, 4), "can't take 4 bytes"),
        (blob({"a": {**A, "shape": [3]}}, 4), "can't take 4 bytes"),
        (blob({"a": entry("F4", [3], 0, 2)}, 2), "doesn't end on a byte"),
        (blob({"a": entry("U8", [4], 4, 0)}, 4), "can't take -4 bytes"),
        (blob({"a": entry("U8", [4], -4, 0)}, 4), "starts at -4"),
        (blob({"a": A, "b": entry("U8", [4], 2, 6)}, 6), "starts at 2, the one before it ends at 4"),
        (blob({"a": A, "b": entry("U8", [4], 5, 9)}, 9), "starts at 5, the one before it ends at 4"),
        (blob({"a": A}, 3), "ends at 4, the data at 3"),
        (blob({"a": A}, 5), "1 bytes belong to no tensor"),
        (pickle.dumps({"a": 1}), "is pickled, whatever its name"),
        (b"PK\3\4" + bytes(60), "is an archive, whatever its name"),
    ],
)
def test_what_does_not_agree_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(content)
    with pytest.raises(InvalidModel) as refused:
        read_header(file)
    assert why in refused.value.message
    assert str(file) in refused.value.message


def test_a_header_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "HEADER_BYTES", 10)
    (tmp_path / "a.safetensors").write_bytes(blob({"a": A}, 4))
    with pytest.raises(InvalidModel, match="10 are the limit"):
        read_header(tmp_path / "a.safetensors")


@st.composite
def layouts(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """A valid header and the bytes it covers."""
    header: dict[str, Any] = {}
    at = 0
    for index in range(draw(st.integers(0, 4))):
        dtype = draw(st.sampled_from([name for name, bits in BITS.items() if bits >= 8]))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        size = BITS[dtype] // 8
        for n in shape:
            size *= n
        header[f"t{index}"] = entry(dtype, shape, at, at + size)
        at += size
    return header, at


@given(layouts())
def test_every_valid_layout_is_read(layout: tuple[dict[str, Any], int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "a.safetensors"
        file.write_bytes(blob(*layout))
        found = read_header(file)
    assert {name: [*tensor.shape] for name, tensor in found.items()} == {
        n: e["shape"] for n, e in layout[0].items()
    }


@given(layouts(), st.data())
def test_mutated_layouts_are_read_whole_or_refused(
    layout: tuple[dict[str, Any], int], data: st.DataObject
) -> None:
    content = bytearray(blob(*layout))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.binary(max_size=3))
        content[at : at + data.draw(st.integers(0, 3))] = new
        content = content or bytearray(b"\0")
    with tempfile.TemporaryDirectory() as directory, contextlib.suppress(InvalidModel):
        file = Path(directory) / "a.safetensors"
        file.write_bytes(content)
        spans = sorted((tensor.start, tensor.end) for tensor in read_header(file).values())
        ends = [end for _, end in spans]
        assert [start for start, _ in spans[1:]] == ends[:-1]
        assert not ends or ends[-1] == len(content)
