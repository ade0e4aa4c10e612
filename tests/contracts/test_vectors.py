"""VectorIndex: one behaviour, whatever it stands on."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import RequestError
from genai_stack.ports import IndexedFile, Passage, VectorIndex
from genai_stack.protocol.filters import Eq
from tests.contracts.adapters import VECTORS, child_path

Open = Callable[[], VectorIndex]


@pytest.fixture(params=VECTORS)
def open_index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    made: list[VectorIndex] = []

    def opened() -> VectorIndex:
        made.append(VECTORS[request.param](tmp_path))
        return made[-1]

    yield opened
    for index in made:
        index.close()


def floats(*rows: tuple[float, ...]) -> bytes:
    return b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)


def passages(*texts: str) -> list[Passage]:
    return [Passage(n * 10, n * 10 + len(text), text) for n, text in enumerate(texts)]


def put(index: VectorIndex, store: str, id: str, texts: list[str], *rows: Any, **about: Any) -> int:
    owners = list(range(len(texts)))
    return index.put(store, IndexedFile(id, f"{id}.txt", about), passages(*texts), floats(*rows), owners)


def near(index: VectorIndex, *vector: float, filter: Any = None, limit: int = 10) -> list[str]:
    return [hit.passage.text for hit in index.nearest("s", floats(vector), limit, filter)]


def with_words(index: VectorIndex, text: str, filter: Any = None) -> list[str]:
    return [hit.passage.text for hit in index.matching("s", text, 10, filter)]


def test_nearest_first_by_cosine(open_index: Open) -> None:
    index = open_index()
    put(index, "s", "a", ["east", "north"], (9.0, 0.0), (0.0, 0.1))
    put(index, "s", "b", ["north-east"], (1.0, 1.0))
    assert near(index, 0.2, 0.0) == ["east", "north-east", "north"]
    hits = index.nearest("s", floats((0.0, 5.0)), 2)
    assert [round(hit.score, 3) for hit in hits] == [1.0, 0.707]
    assert (hits[0].file.id, hits[0].file.name, hits[0].passage) == ("a", "a.txt", Passage(10, 15, "north"))


def test_a_passage_of_several_vectors_counts_once(open_index: Open) -> None:
    index = open_index()
    rows = floats((1.0, 0.0), (0.9, 0.1), (0.8, 0.2), (0.0, 1.0))
    index.put("s", IndexedFile("a", "a", {}), passages("long", "short"), rows, [0, 0, 0, 1])
    assert near(index, 1.0, 0.0, limit=2) == ["long", "short"]
    assert near(index, 1.0, 0.0, limit=1) == ["long"]


def test_words_are_found_whatever_stands_around_them(open_index: Open) -> None:
    index = open_index()
    put(index, "s", "a", ["The Élan of a cat", "no such thing"], (1.0, 0.0), (0.0, 1.0))
    put(index, "s", "b", ["a dog, a dog; a dog"], (1.0, 0.0))
    assert with_words(index, "cat") == ["The Élan of a cat"]
    assert with_words(index, "ELAN?") == ["The Élan of a cat"]
    assert with_words(index, 'dog" OR NEAR(x) * ^ -:{}') == ["a dog, a dog; a dog"]
    for nothing in ("", "   ", "zebra", '"', "\0"):
        assert with_words(index, nothing) == []


def test_a_file_is_replaced_whole_and_removed_whole(open_index: Open) -> None:
    index = open_index()
    assert put(index, "s", "a", ["one", "two"], (1.0, 0.0), (0.0, 1.0)) == 2 * 2 * 4 + 6
    put(index, "s", "b", ["other"], (1.0, 0.0))
    put(index, "s", "a", ["three"], (1.0, 0.0))
    assert index.passages("s", "a") == passages("three")
    assert sorted(near(index, 1.0, 0.0)) == ["other", "three"]
    assert with_words(index, "one two three") == ["three"]
    index.remove("s", "a")
    index.remove("s", "a")
    assert near(index, 1.0, 0.0) == ["other"]
    assert index.passages("s", "a") == []
    index.drop("s")
    index.drop("s")
    assert near(index, 1.0, 0.0) == with_words(index, "other") == []
    put(index, "s", "a", ["again"], (1.0, 0.0, 0.0))  # a new store: other dimensions
    assert near(index, 1.0, 0.0, 0.0) == ["again"]


def test_filters_and_new_attributes(open_index: Open) -> None:
    index, red = open_index(), Eq("colour", "red")
    put(index, "s", "a", ["one thing"], (1.0, 0.0), colour="red")
    put(index, "s", "b", ["another thing"], (1.0, 0.0), colour="blue")
    assert near(index, 1.0, 0.0, filter=red) == with_words(index, "thing", red) == ["one thing"]
    index.describe("s", IndexedFile("b", "b.txt", {"colour": "red"}))
    index.describe("s", IndexedFile("c", "c.txt", {"colour": "red"}))
    assert sorted(near(index, 1.0, 0.0, filter=red)) == ["another thing", "one thing"]
    assert near(index, 1.0, 0.0, filter=Eq("colour", "blue")) == []


def test_stores_know_nothing_of_each_other(open_index: Open) -> None:
    index = open_index()
    put(index, "s", "a", ["mine"], (1.0, 0.0))
    put(index, "t", "a", ["theirs"], (1.0, 0.0, 0.0))
    assert near(index, 1.0, 0.0) == ["mine"]
    index.drop("t")
    assert near(index, 1.0, 0.0) == ["mine"]


@pytest.mark.parametrize("rows", [b"", b"\0\0\0", floats((1.0, 2.0, 3.0)), floats((float("nan"), 1.0))])
def test_vectors_that_are_none_change_nothing(open_index: Open, rows: bytes) -> None:
    index = open_index()
    put(index, "s", "a", ["here"], (1.0, 0.0))
    with pytest.raises(RequestError):
        index.put("s", IndexedFile("a", "a", {}), passages("gone"), rows, [0])
    assert near(index, 1.0, 0.0) == ["here"]
    with pytest.raises(RequestError):
        index.nearest("s", rows, 1)


@pytest.mark.parametrize("id", ["", "..", "a/b", "a\0", "é", "a" * 129])
def test_ids_that_are_none(open_index: Open, id: str) -> None:
    index = open_index()
    with pytest.raises(RequestError):
        put(index, id, "a", ["x"], (1.0, 0.0))
    with pytest.raises(RequestError):
        put(index, "s", id, ["x"], (1.0, 0.0))


def test_another_process_sees_each_write(open_index: Open) -> None:
    one, other = open_index(), open_index()
    put(one, "s", "a", ["first"], (1.0, 0.0))
    assert near(other, 1.0, 0.0) == ["first"]
    put(other, "s", "b", ["second"], (0.0, 1.0))
    assert near(one, 0.0, 1.0) == ["second", "first"]
    one.remove("s", "a")
    assert near(other, 1.0, 0.0) == ["second"]


WRITER = """
import sys
from pathlib import Path
from tests.contracts.adapters import VECTORS
from tests.contracts.test_vectors import put
index = VECTORS[sys.argv[1]](Path(sys.argv[2]))
n = 0
while True:
    n += 1
    put(index, "s", f"f-{n % 7}", [f"number {n}"] * 50, *[(float(n), 1.0)] * 50)
    print(n, flush=True)
"""


@pytest.mark.parametrize("adapter", [name for name in VECTORS if name == "local"])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, adapter: str) -> None:
    told = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, adapter, str(tmp_path)], stdout=subprocess.PIPE, text=True,
            env={"PYTHONPATH": child_path()},
        )  # fmt: skip
        assert child.stdout is not None
        for _ in range(9):
            told = int(child.stdout.readline())
        child.kill()
        child.communicate()
        index = VECTORS[adapter](tmp_path)
        kept = {index.passages("s", f"f-{n % 7}")[0].text for n in range(told - 6, told + 1)}
        assert (
            len({f"number {n}" for n in range(told - 6, told + 1)} - kept) <= 2
        )  # the kill came after a newer put
        hits = index.nearest("s", floats((1.0, 1.0)), 500)
        assert len(hits) == 350
        index.close()
