"""Files from an object store: whole or not there, gone on with after a break, one download for everyone."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack import wiring
from genai_stack.errors import GenAIStackError, InvalidData, InvalidModel, RequestError
from genai_stack.local.objects import DirectoryObjects
from genai_stack.ports import ObjectInfo
from genai_stack.sources import resolve, store
from genai_stack.sources.data import data_files
from genai_stack.sources.store import fetch, under
from genai_stack.training.data import check

HEADER = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + b"\0"


class Breaking:
    """A store whose reads break off after `bytes_each` bytes, or send `lie` instead."""

    def __init__(self, over: DirectoryObjects, bytes_each: int | None = None, lie: bytes | None = None) -> None:
        self.over, self.bytes_each, self.lie = over, bytes_each, lie
        self.starts: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.over, name)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.starts.append(start)
        if self.lie is not None:
            yield self.lie[start:end]
            return
        whole = b"".join(self.over.read(key, start, end))
        yield whole[: self.bytes_each]
        if self.bytes_each is not None and len(whole) > self.bytes_each:
            raise ConnectionResetError("the peer went away")


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryObjects:
    """What `s3://bucket/…` leads to."""
    made = DirectoryObjects(tmp_path / "bucket")

    def object_store(uri: str) -> tuple[DirectoryObjects, str]:
        return made, uri.removeprefix("s3://").partition("/")[2]

    monkeypatch.setattr(wiring, "object_store", object_store, raising=False)
    monkeypatch.setattr(store, "PAUSE", 0.0)
    return made


def infos(objects: DirectoryObjects, prefix: str = "p") -> dict[str, ObjectInfo]:
    return under(objects, prefix, prefix)


def test_a_model_is_fetched_once_and_kept(objects: DirectoryObjects, home: Path) -> None:
    for name in ("model.safetensors", "sub/other.safetensors", "pytorch_model.bin", "modeling.py"):
        objects.put(f"m/one/{name}", WEIGHTS)
    objects.put("m/one/config.json", b"{}")
    objects.put("m/one-more/config.json", b"{}")
    place = resolve("s3://bucket/m/one/")
    assert sorted(p.name for p in place.iterdir()) == ["config.json", "model.safetensors"]
    assert place.is_relative_to(home / "cache")
    before = (place / "model.safetensors").stat().st_mtime_ns
    assert resolve("s3://bucket/m/one") == place
    assert (place / "model.safetensors").stat().st_mtime_ns == before
    objects.put("m/one/config.json", b'{"a": 1}')
    assert resolve("s3://bucket/m/one") != place
    (place / "model.safetensors").unlink()
    objects.put("m/one/config.json", b"{}")
    assert (resolve("s3://bucket/m/one") / "model.safetensors").read_bytes() == WEIGHTS


def test_what_is_no_model_there(objects: DirectoryObjects) -> None:
    with pytest.raises(InvalidModel, match="but nothing; give the prefix"):
        resolve("s3://bucket/nothing")
    objects.put("m/pytorch_model.bin", b"\x80\4")
    with pytest.raises(InvalidModel, match=r"no \*\.safetensors under s3://bucket/m, but pytorch_model.bin"):
        resolve("s3://bucket/m")
    objects.put("m/model.safetensors", b"\x80\4pickle")
    with pytest.raises(InvalidModel, match="is pickled, whatever its name"):
        resolve("s3://bucket/m")


def test_a_download_goes_on_where_it_broke_off(objects: DirectoryObjects) -> None:
    content = bytes(range(250))
    objects.put("p/a", content)
    breaking = Breaking(objects, 100)
    assert (fetch(breaking, infos(objects)) / "a").read_bytes() == content
    assert breaking.starts == [0, 100, 200]


def test_a_store_that_sends_nothing_is_given_up_and_gone_on_with_later(
    objects: DirectoryObjects, home: Path
) -> None:
    objects.put("p/a", b"x" * 100)
    halfway = Breaking(objects, 0)
    with pytest.raises(
        GenAIStackError, match="p/a can't be fetched: the peer went away; run it again to go on"
    ):
        fetch(halfway, infos(objects))
    assert len(halfway.starts) == store.ATTEMPTS
    (partial,) = (home / "cache" / "objects").glob("*.incoming/.*")
    partial.write_bytes(b"x" * 60)
    rest = Breaking(objects)
    assert (fetch(rest, infos(objects)) / "a").read_bytes() == b"x" * 100
    assert rest.starts == [60]


def test_bytes_that_are_not_the_promised_ones_are_refused(objects: DirectoryObjects, home: Path) -> None:
    objects.put("p/a", b"right")
    with pytest.raises(GenAIStackError, match="isn't what its SHA-256 promises"):
        fetch(Breaking(objects, lie=b"wrong"), infos(objects))
    with pytest.raises(GenAIStackError, match="it ends after 3 of 5 bytes"):
        fetch(Breaking(objects, lie=b"rig"), infos(objects))
    (partial,) = (home / "cache" / "objects").glob("*.incoming/.*")
    partial.write_bytes(b"wro")  # damaged since: thrown away, and fetched anew
    assert (fetch(objects, infos(objects)) / "a").read_bytes() == b"right"


@pytest.mark.parametrize("name", ["../a", "sub/a", ".hidden", "a\\b", "a\0b", "x" * 256, ""])
def test_a_key_that_is_no_file_name_is_refused(objects: DirectoryObjects, name: str) -> None:
    with pytest.raises(RequestError, match="can't be a file here"):
        fetch(objects, {name: ObjectInfo("k", 1, "0" * 64, 0.0)})


PROGRAM = """
import sys, time
from pathlib import Path
from genai_stack.local.objects import DirectoryObjects
from genai_stack.sources.store import fetch, under
class Slow(DirectoryObjects):
    def read(self, *a):
        print("read", flush=True)
        time.sleep(0.3)
        return super().read(*a)
objects = Slow(Path(sys.argv[1]))
print((fetch(objects, under(objects, "p", "p")) / "a").read_bytes() == b"x" * 5000)
"""


def test_two_processes_fetch_once(objects: DirectoryObjects, tmp_path: Path) -> None:
    objects.put("p/a", b"x" * 5000)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "bucket")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0].split() for process in running]
    assert sorted(map(len, said)) == [1, 2]
    assert all(words[-1] == "True" for words in said)


LINE = b'{"text": "a"}\n'


def test_data_is_an_object_a_folder_or_a_beginning(objects: DirectoryObjects) -> None:
    for name in ("train-0.jsonl", "train-1.jsonl", "test-0.jsonl", "notes.md", "deep/x.jsonl"):
        objects.put(f"d/{name}", LINE)
    assert [p.name for p in data_files("s3://bucket/d/train-1.jsonl")] == ["train-1.jsonl"]
    assert [p.name for p in data_files("s3://bucket/d/train")] == ["train-0.jsonl", "train-1.jsonl"]
    assert check("s3://bucket/d/train") == 2
    assert check("s3://bucket/d/deep/") == 1
    with pytest.raises(InvalidData, match="splits that aren't learned together"):
        data_files("s3://bucket/d")
    with pytest.raises(InvalidData, match=r"holds no \*\.jsonl.*there are some in d"):
        data_files("s3://bucket/")
    with pytest.raises(InvalidData, match=r"holds no \*\.jsonl"):
        data_files("s3://bucket/none")


def test_data_from_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    commit = hashlib.sha1(b"x").hexdigest()
    repo = tmp_path / "datasets--o--n"
    folder = repo / "snapshots" / commit / "data"
    folder.mkdir(parents=True)
    (repo / "blobs").mkdir()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    for name in ("train-0.jsonl", "test-0.jsonl"):
        (repo / "blobs" / name).write_bytes(LINE)
        (folder / name).symlink_to(f"../../../blobs/{name}")
    assert check("hf://datasets/o/n/data/train") == 1
    assert check(f"hf://datasets/o/n@{commit}/data/test-0.jsonl") == 1
    with pytest.raises(InvalidData, match="there are some in data"):
        data_files("hf://datasets/o/n")
    with pytest.raises(InvalidData, match="splits"):
        data_files("hf://datasets/o/n@main/data")
    with pytest.raises(InvalidData, match="can't be fetched"):
        data_files("hf://datasets/o/other")
    for wrong in ("hf://o/n", "hf://datasets/o", "hf://datasets/o/n/../../x"):
        with pytest.raises(InvalidData, match="isn't of the form"):
            data_files(wrong)
