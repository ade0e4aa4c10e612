"""A bucket's prefix, mirrored: what one run pushed is what the next begins with."""

from __future__ import annotations

from pathlib import Path

import pytest

from genai_stack import wiring
from genai_stack.bulk.places import Place, fetch, open_place, read_bytes
from genai_stack.errors import InvalidData, InvalidSpec
from genai_stack.local.objects import DirectoryObjects


@pytest.fixture
def store(tmp_path: Path) -> DirectoryObjects:
    return DirectoryObjects(tmp_path / "store")


def test_a_run_finds_what_the_last_one_pushed(store: DirectoryObjects, tmp_path: Path) -> None:
    first = Place(tmp_path / "a", store, "jobs/j/output")
    (first.path / "parts").mkdir()
    (first.path / "parts" / "1.jsonl").write_bytes(b"one\n")
    (first.scratch / "secret").write_bytes(b"mine")
    first.push()
    with (first.path / "parts" / "1.jsonl").open("ab") as part:
        part.write(b"two\n")
    first.push()
    assert [info.key for info in store.list()] == ["jobs/j/output/parts/1.jsonl"]
    second = Place(tmp_path / "b", store, "jobs/j/output/")
    assert (second.path / "parts" / "1.jsonl").read_bytes() == b"one\ntwo\n"
    (second.path / "parts" / "1.jsonl").unlink()
    (second.path / "manifest.json").write_bytes(b"{}")
    second.push()
    assert [info.key for info in store.list()] == ["jobs/j/output/manifest.json"]
    second.close()
    assert not second.path.exists()


def test_the_manifest_comes_last(store: DirectoryObjects, tmp_path: Path) -> None:
    place = Place(tmp_path / "a", store, "x")
    for name in ("manifest.json", "output.jsonl", "a.txt"):
        (place.path / name).write_text(name)
    put: list[str] = []
    keep = store.put
    store.put = lambda key, data: (put.append(key), keep(key, data))[1]  # type: ignore[method-assign,func-returns-value]
    place.push()
    assert put == ["x/a.txt", "x/output.jsonl", "x/manifest.json"]


def test_a_key_that_leaves_the_directory_is_refused(store: DirectoryObjects, tmp_path: Path) -> None:
    store.put("x/../../evil", b"")
    with pytest.raises(InvalidSpec, match="evil"):
        Place(tmp_path / "a", store, "x")


def test_a_directory_is_the_place_itself(tmp_path: Path) -> None:
    place = open_place(str(tmp_path / "out"))
    (place.scratch / "x").write_text("x")
    place.push()
    place.remove_scratch()
    place.close()
    assert place.path.is_dir()
    assert not list(place.path.iterdir())


def test_what_s3_names_is_fetched(
    store: DirectoryObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "object_store", lambda uri: (store, uri.removeprefix("s3://bucket/")))
    store.put("data/in.jsonl", b"line\n")
    assert fetch("s3://bucket/data/in.jsonl", tmp_path / "in", at_most=5).read_bytes() == b"line\n"
    assert read_bytes("s3://bucket/data/in.jsonl") == b"line\n"
    with pytest.raises(InvalidData, match="at most 4"):
        fetch("s3://bucket/data/in.jsonl", tmp_path / "in", at_most=4)
    with pytest.raises(InvalidData, match="nowhere"):
        fetch("s3://bucket/nowhere", tmp_path / "in", at_most=4)
    with pytest.raises(InvalidSpec, match="nowhere"):
        read_bytes("s3://bucket/nowhere")
    with pytest.raises(InvalidSpec, match="No such file"):
        read_bytes(str(tmp_path / "nowhere.json"))
