"""Parquet as training data: the same examples, and no more memory than the file is worth."""

from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from genai_stack.errors import InvalidData
from genai_stack.training import footers, tables
from genai_stack.training.data import check, read
from genai_stack.training.examples import Chat, Completion, Passage, Preference

ASK, SAY = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def write(path: Path, rows: list[dict[str, Any]] | arrow.Table, **options: Any) -> Path:
    table = rows if isinstance(rows, arrow.Table) else arrow.Table.from_pylist(rows)
    parquet.write_table(table, path, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidData) as refused:
        check(path)
    return refused.value.message


def test_every_kind_of_example_has_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    call = {"function": {"name": "f", "arguments": {"city": "Rome", "days": None}}}
    rows = [
        {
            "messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [call]}],
            "tools": '[{"type": "x"}]',
        },
        {"messages": [ASK, SAY]},
        {"prompt": "a", "completion": "b"},
        {"text": "c", "id": 7},
    ]
    table = arrow.Table.from_pylist(
        [{**dict.fromkeys(("messages", "tools", "prompt", "completion", "text", "id")), **row} for row in rows]
    )
    write(path, table, row_group_size=2)
    called = {"function": {"name": "f", "arguments": {"city": "Rome"}}}
    assert list(read(path)) == [
        Chat([ASK, {"role": "assistant", "content": None, "tool_calls": [called]}], [{"type": "x"}]),
        Chat([ASK, SAY]),
        Completion("a", "b"),
        Passage("c"),
    ]
    write(path, [{"chosen": [ASK, SAY], "rejected": [ASK, {**SAY, "content": "No"}], "score": 0.5}])
    assert list(read(path)) == [Preference(Chat([ASK, SAY]), Chat([ASK, {**SAY, "content": "No"}]))]


def test_a_fault_has_its_row_number(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", [{"text": "a"}, {"text": ""}] * 100, row_group_size=30)
    found = refusal(path).splitlines()
    assert found[0] == f"{path}: 100 faulty rows"
    assert (found[1], found[2]) == ("  row 2: 'text' is empty", "  row 4: 'text' is empty")
    assert found[-1] == "  and 80 more"


def test_values_that_json_has_no_form_for(tmp_path: Path) -> None:
    bad = arrow.Array.from_buffers(
        arrow.string(), 1, [None, arrow.py_buffer(struct.pack("<2i", 0, 2)), arrow.py_buffer(b"\xff\xfe")]
    )
    path = write(tmp_path / "d.parquet", arrow.table({"text": bad}))
    assert "row 1: not UTF-8" in refusal(path)
    write(path, [{"messages": [ASK, {**SAY, "weight": float("nan")}]}])
    assert "row 1: not JSON: nan is no number" in refusal(path)
    write(path, [{"messages": [ASK, {**SAY, "content": b"bytes"}]}])
    assert "row 1: holds a bytes" in refusal(path)
    write(path, [{"text": 3}])
    assert "row 1: 'text' isn't a string" in refusal(path)


def test_a_row_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LINE_BYTES", 100)
    path = write(tmp_path / "d.parquet", [{"text": "a"}, {"text": "b" * 200}])
    assert refusal(path).splitlines()[1:] == ["  row 2: longer than 100 bytes"]


def test_what_is_no_whole_parquet_file(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", [{"text": f"line {n}"} for n in range(1000)])
    whole = path.read_bytes()
    for part in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], whole[1:], b"x" * 100):
        path.write_bytes(part)
        assert "isn't a whole Parquet file" in refusal(path)
    path.write_bytes(whole[:-8] + struct.pack("<I", 2**31) + b"PAR1")
    assert "declares a footer of 2147483648 bytes" in refusal(path)
    path.write_bytes(b"PAR1" + b"\xff" * 500 + struct.pack("<I", 400) + b"PAR1")
    assert "isn't a whole Parquet file" in refusal(path)


def test_columns_that_are_not_there_or_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "d.parquet", [{"question": "a", "answer": "b"}])
    assert "none of the columns messages, tools, prompt" in refusal(path)
    assert "it has question, answer" in refusal(path)
    write(path, arrow.Table.from_arrays([arrow.array(["a"])] * 2, names=["text", "text"]))
    assert "two columns named 'text'" in refusal(path)
    write(path, arrow.table({"text": arrow.array([], arrow.string())}))
    assert "no example in it" in refusal(path)


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.parquet"
    write(path, [{"text": "a" * (70 << 20)}], compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 70_000
    assert "over 1000 times the file's" in refusal(path)
    monkeypatch.setattr(footers, "GROUP_BYTES", 1 << 20)
    assert f"over the limit of {1 << 20}" in refusal(path)
    write(path, [{"messages": [ASK, SAY] * 500}])
    monkeypatch.setattr(footers, "GROUP_VALUES", 900)
    assert "in 1000 values" in refusal(path)


def test_pages_that_hold_more_than_was_declared_are_not_unpacked(tmp_path: Path) -> None:
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "write_statistics": False}
    path = write(tmp_path / "lies.parquet", [{"text": "a" * 3000}], **options)
    data = bytearray(path.read_bytes())
    (footer,) = struct.unpack("<I", data[-8:-4])
    groups = footers.weigh(path, ("text",))
    (chunk,) = groups[0].chunks
    zigzag = bytes((0x16, (n := chunk.unpacked << 1) & 127 | 128, n >> 7))
    at = data.index(zigzag, len(data) - 8 - footer)
    data[at + 1 : at + 3] = bytes(((n := 2000 << 1) & 127 | 128, n >> 7))
    path.write_bytes(data)
    assert "hold more than its footer declares" in refusal(path)


def test_a_value_that_a_dictionary_repeats_is_unpacked_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "repeats.parquet"
    text = "".join(random.Random(1).choices("abcdefgh", k=4 << 20))
    write(path, arrow.table({"text": arrow.DictionaryArray.from_arrays([0] * 500, [text])}))
    assert path.stat().st_size < 10 << 20
    monkeypatch.setattr(footers, "GROUP_BYTES", 64 << 20)
    before = arrow.default_memory_pool().bytes_allocated()
    assert max(arrow.total_allocated_bytes() - before for _ in read(path)) < 200 << 20


def test_five_hundred_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    draw = random.Random(5)
    path = tmp_path / "fuzz.parquet"
    write(path, [{"messages": [ASK, SAY]}, {"messages": [ASK, {**SAY, "weight": 1}]}] * 20, row_group_size=10)
    whole = path.read_bytes()
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(InvalidData):
            check(path)
