"""Files of examples: what is refused, with which words, and in how much memory."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import pickle
import random
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import InvalidData
from genai_stack.training import lines
from genai_stack.training.data import check, read
from genai_stack.training.examples import Passage
from genai_stack.training.lines import LINE_BYTES

CHAT = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
PAIR = b'{"prompt": "p", "chosen": "a", "rejected": "b"}\n'


def refusal(source: str | Path, method: str | None = None) -> str:
    with pytest.raises(InvalidData) as refused:
        check(source, method)
    return refused.value.message


def test_faults_carry_their_line_numbers_and_twenty_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    good, long = b'{"text": "a"}\n', b'{"text": "' + b"a" * (LINE_BYTES + 50) + b'"}\n'
    path.write_bytes(good + b"oops\n" + b"\n" + long + good + b"[1]\n" * 30)
    found = refusal(path).splitlines()
    assert found[0].endswith("32 faulty lines")
    assert found[1].startswith("  line 2: not JSON")
    assert found[2] == f"  line 4: longer than {LINE_BYTES} bytes"
    assert found[3] == "  line 6: not a JSON object"
    assert found[20].startswith("  line 23")
    assert found[21:] == ["  and 12 more"]


def test_bad_lines_are_counted_and_twenty_kept(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"{}\n" * 50_000 + b"{oops\n" * 50_000)
    found = refusal(path).splitlines()
    assert found[0].endswith("100000 faulty lines")
    assert len(found) == 22
    assert found[-1] == "  and 99980 more"


@pytest.mark.parametrize("line", [b"x\n", CHAT])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "long.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line * 30_000)
    tracemalloc.start()
    try:
        if line == CHAT:
            assert check(path) == 30_001
        else:
            refusal(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20


def test_a_giant_line_is_passed_over_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES", 1000)
    path = tmp_path / "giant.jsonl"
    path.write_bytes(b'{"text": "' + b"a" * (8 << 20) + b'"}\n{"text": "b"}\n')
    tracemalloc.start()
    try:
        assert refusal(path).splitlines()[1] == "  line 1: longer than 1000 bytes"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 << 20


def test_a_file_without_examples_or_without_a_file(tmp_path: Path) -> None:
    (tmp_path / "e.jsonl").write_bytes(b"\n\n")
    (tmp_path / "z.jsonl").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "no example in it" in refusal(tmp_path / "e.jsonl")
    assert "no example in it" in refusal(tmp_path / "z.jsonl")
    assert "No such file" in refusal(tmp_path / "none.jsonl")
    assert "neither a file nor a directory" in refusal(tmp_path / "pipe.jsonl")
    assert "embedded null byte" in refusal("a\0b")
    assert "give a file, a directory" in refusal("gs://bucket/data")


def test_line_ends_and_byte_order_marks_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}')
    assert list(read(tmp_path / "a.jsonl")) == [Passage("a"), Passage("b")]


def packed(kind: str) -> bytes:
    if kind == "zip":
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("d.jsonl", CHAT)
        return made.getvalue()
    if kind == "tar":
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("d.jsonl"), io.BytesIO(b""))
        return made.getvalue()
    return {
        "gzip": gzip.compress(b"\0" * 10_000_000), "bzip2": bz2.compress(CHAT), "xz": lzma.compress(CHAT),
        "zstd": b"\x28\xb5\x2f\xfd" + CHAT, "pickle": pickle.dumps([1]), "UTF-16": CHAT.decode().encode("utf-16"),
        "Parquet": b"PAR1", "Arrow": b"ARROW1\0\0",
    }[kind]  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["gzip", "bzip2", "xz", "zstd", "zip", "tar", "pickle", "UTF-16", "Parquet", "Arrow"]
)
def test_what_is_packed_or_of_another_kind_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(packed(kind))
    assert kind in refusal(path)


def test_a_directory_is_its_files_in_name_order(tmp_path: Path) -> None:
    for name, text in (("b", "2"), ("a", "1"), ("c", "3"), (".hidden", "no")):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": text}))
    (tmp_path / "README.md").write_text("words")
    (tmp_path / "sub").mkdir()
    assert list(read(tmp_path)) == [Passage("1"), Passage("2"), Passage("3")]
    (tmp_path / "b.jsonl").write_text("oops\n")
    assert refusal(tmp_path).startswith(f"{tmp_path}: 1 faulty line\n  b.jsonl line 1: not JSON")
    (tmp_path / "d.parquet").write_bytes(b"")
    assert "holds both *.jsonl and *.parquet" in refusal(tmp_path)
    (tmp_path / "b.jsonl").write_text("")
    (tmp_path / "d.parquet").unlink()
    assert refusal(tmp_path).startswith(f"{tmp_path / 'b.jsonl'}: no example")
    assert "holds no *.jsonl" in refusal(tmp_path / "sub")


def test_splits_are_not_learned_together(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        (tmp_path / f"{name}.jsonl").write_bytes(CHAT)
    (tmp_path / "training.jsonl").write_bytes(CHAT)
    assert "splits that aren't learned together" in refusal(tmp_path)
    assert check(tmp_path / "train-") == 2
    assert check(tmp_path / "test") == 1


def test_pairs_and_chats_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(PAIR + CHAT + PAIR)
    assert "line 2: chats among preference pairs; preference pairs are learned in a run" in refusal(path)
    path.write_bytes(CHAT + PAIR)
    assert "line 2: preference pairs among chats" in refusal(path)


@pytest.mark.parametrize("method", ["lora", "full", "pretrain", "qlora"])
def test_each_kind_has_its_method(tmp_path: Path, method: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(PAIR)
    assert check(path, "dpo") == 1
    assert f"method {method} can't learn from; use method dpo" in refusal(path, method)
    path.write_bytes(CHAT + b'{"text": "a"}\n')
    assert check(path, method) == 2
    assert "method dpo learns from preference pairs" in refusal(path, "dpo")


def test_two_thousand_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    draw = random.Random(3)
    whole = (CHAT * 2 + PAIR.replace(b"p", "é".encode()) + b'{"text": "\\ud83d\\ude00", "n": 1e5}\n') * 2
    path = tmp_path / "fuzz.jsonl"
    tokens: list[Any] = [
        b'"',
        b"{",
        b"[",
        b"\n",
        b"\\u",
        b"\0",
        b"\xff",
        b"1e999",
        b"9" * 30,
        b"NaN",
        b"PAR1",
        b"",
    ]
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            at = draw.randrange(len(data))
            data[at : at + draw.randint(0, 8)] = draw.choice(tokens)
        path.write_bytes(data)
        with contextlib.suppress(InvalidData):
            check(path)
