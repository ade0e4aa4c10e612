"""S3Vectors where the service isn't SQLite: batches, puts that break off, requests that are throttled or lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.aws.objects import S3Objects
from genai_stack.aws.records import DynamoRecords
from genai_stack.aws.vectors import S3Vectors
from genai_stack.errors import GenAIStackError, NotDeployedError, Overloaded, RequestError
from genai_stack.ports import IndexedFile, Passage
from genai_stack.protocol.filters import Ne
from tests.aws.account import Account, LostAnswer, Request, slow_down, times
from tests.contracts.adapters import made_bucket, made_table, made_vector_bucket
from tests.contracts.test_vectors import floats, near, passages, put, with_words


@pytest.fixture
def index(aws: Account, tmp_path: Path, quick: None) -> Iterator[S3Vectors]:
    made = opened(tmp_path)
    yield made
    made.close()


def opened(root: Path) -> S3Vectors:
    return S3Vectors(made_vector_bucket(root), DynamoRecords(made_table(root)), S3Objects(made_bucket(root)))


def kept(aws: Account, root: Path) -> list[Any]:
    """The vectors of every index in the bucket."""
    buckets = aws.vectors.buckets[made_vector_bucket(root)]
    return [vector for index in buckets.values() for vector in index["vectors"].values()]


def puts(request: Request) -> bool:
    return request.path == "/PutVectors"


def test_a_large_file_goes_in_batches_and_out_again(aws: Account, index: S3Vectors, tmp_path: Path) -> None:
    texts = [f"number {n}" for n in range(1100)]
    put(index, "s", "a", texts, *[(float(n + 1), 1.0) for n in range(1100)])
    assert sum(map(puts, aws.seen)) == 3
    assert near(index, 0.0, 1.0, limit=2) == ["number 0", "number 1"]
    assert [passage.text for passage in index.passages("s", "a")] == texts
    index.remove("s", "a")
    assert kept(aws, tmp_path) == []
    assert not S3Objects(made_bucket(tmp_path)).list("vectors/")


def test_a_passage_of_more_vectors_than_one_answer_has_hides_none(index: S3Vectors) -> None:
    rows = [(1.0, n / 1000) for n in range(250)]
    index.put("s", IndexedFile("a", "a", {}), passages("long"), floats(*rows), [0] * 250)
    put(index, "s", "b", ["short"], (0.0, 1.0))
    assert near(index, 1.0, 0.0, limit=2) == ["long", "short"]


def test_an_answer_in_pages_is_read_to_its_end(aws: Account, index: S3Vectors, monkeypatch: Any) -> None:
    monkeypatch.setattr(aws.vectors, "page", 2)
    put(index, "s", "a", [f"word {n}" for n in range(5)], *[(1.0, float(n)) for n in range(5)])
    assert near(index, 1.0, 0.0, limit=5) == [f"word {n}" for n in range(5)]
    assert len(with_words(index, "word")) == 5


def test_a_text_that_is_too_long_to_lie_beside_its_vector_is_told_whole(index: S3Vectors) -> None:
    text = "größer " * 12_000
    put(index, "s", "a", [text, "small"], (1.0, 0.0), (0.0, 1.0))
    assert near(index, 1.0, 0.1) == [text, "small"]
    assert with_words(index, "GROSSER größer") == [text]


def test_a_filter_over_more_files_than_a_question_names(
    index: S3Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genai_stack.aws.vectors.PUTS", 3)
    for n in range(8):
        put(index, "s", f"f-{n}", [f"number {n}"], (1.0, n / 10), colour="red" if n == 4 else "blue")
    assert near(index, 1.0, 0.7, limit=1, filter=Ne("colour", "red")) == ["number 7"]
    assert set(near(index, 1.0, 0.4, limit=2, filter=Ne("colour", "red"))) == {"number 3", "number 5"}


def test_of_two_puts_at_once_the_one_that_began_last_counts(
    aws: Account, index: S3Vectors, tmp_path: Path
) -> None:
    put(index, "s", "a", ["before"], (1.0, 0.0))
    other = opened(tmp_path)
    begun: list[Request] = []

    def meanwhile(request: Request) -> None:
        if puts(request) and not begun:
            begun.append(request)
            put(other, "s", "a", ["meanwhile"], (1.0, 0.0))

    with aws.broken(meanwhile):
        put(index, "s", "a", ["again"], (1.0, 0.0))
    other.close()
    assert near(index, 1.0, 0.0) == with_words(index, "again meanwhile before") == ["again"]
    assert len(kept(aws, tmp_path)) == 1


def test_a_put_that_breaks_off_changes_nothing_and_the_next_one_clears_it(
    aws: Account, index: S3Vectors, tmp_path: Path
) -> None:
    put(index, "s", "a", ["before"], (1.0, 0.0))
    texts, rows = [f"number {n}" for n in range(600)], [(1.0, 1.0)] * 600
    second = [0]

    def breaks(request: Request) -> Any:
        second[0] += puts(request)
        return slow_down(request) if puts(request) and second[0] > 1 else None

    with aws.broken(breaks), pytest.raises(GenAIStackError):
        put(index, "s", "a", texts, *rows)
    assert len(kept(aws, tmp_path)) == 501
    assert near(index, 1.0, 0.0) == with_words(index, "before number") == ["before"]
    put(index, "s", "a", ["after"], (1.0, 0.0))
    assert near(index, 1.0, 0.0) == ["after"]
    assert len(kept(aws, tmp_path)) == 1
    assert len(S3Objects(made_bucket(tmp_path)).list("vectors/")) == 1


def test_a_lost_answer_and_a_busy_service_are_asked_again(aws: Account, index: S3Vectors) -> None:
    put(index, "s", "a", ["here"], (1.0, 0.0))
    with aws.broken(times(1, lambda _: LostAnswer(), puts)):
        put(index, "s", "b", ["there"], (0.0, 1.0))
    with aws.broken(times(2, slow_down, lambda request: request.path == "/QueryVectors")) as hit:
        assert near(index, 0.0, 1.0) == ["there", "here"]
    assert len(hit) == 2
    with (
        aws.broken(times(50, slow_down, lambda request: request.path == "/QueryVectors")),
        pytest.raises(Overloaded),
    ):
        near(index, 0.0, 1.0)


def test_a_bucket_that_is_gone_is_said_to_be(aws: Account, index: S3Vectors, tmp_path: Path) -> None:
    put(index, "s", "a", ["here"], (1.0, 0.0))
    aws.vectors.buckets.pop(made_vector_bucket(tmp_path))
    with pytest.raises(NotDeployedError, match="vector bucket"):
        near(index, 1.0, 0.0)
    with pytest.raises(NotDeployedError):
        put(index, "t", "a", ["here"], (1.0, 0.0))


def test_a_vector_without_a_direction_is_refused(index: S3Vectors) -> None:
    with pytest.raises(RequestError, match="zeros"):
        index.put("s", IndexedFile("a", "a", {}), [Passage(0, 1, "x")], floats((0.0, 0.0)), [0])
