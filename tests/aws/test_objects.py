"""S3Objects when S3 is busy, breaks off, refuses, or holds what others put."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_stack.aws import objects
from genai_stack.aws.objects import S3Objects
from genai_stack.errors import GenAIStackError, NotDeployedError, Overloaded
from tests.aws.account import Account, Answer, LostAnswer, Request, denied, slow_down, times
from tests.contracts.adapters import made_bucket

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def store(aws: Account, tmp_path: Path) -> Iterator[S3Objects]:
    store = S3Objects(made_bucket(tmp_path))
    yield store
    store.close()


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto refuses parts below S3's minimum as S3 does, so these are as small as they may be."""
    monkeypatch.setattr(objects, "PART", 5 << 20)


def pieces(total: int, piece: int = 1 << 20) -> Iterator[bytes]:
    for at in range(0, total, piece):
        yield bytes([at // piece % 251]) * min(piece, total - at)


def unfinished(aws: Account, store: S3Objects) -> list[str]:
    uploads = aws.client("s3").list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
    return [upload["Key"] for upload in uploads]


def is_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.path


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
def test_a_busy_s3_is_asked_again(aws: Account, store: S3Objects, method: str) -> None:
    with aws.broken(times(3, slow_down, lambda r: r.method == method)) as hit:
        store.put("a", b"data")
        assert store.get("a") == b"data"
        assert [info.key for info in store.list()] == ["a"]
    assert len(hit) == 3


def test_one_that_stays_busy_says_so_after_five_requests(aws: Account, store: S3Objects) -> None:
    with aws.broken(slow_down) as hit:
        for call in (lambda: store.put("a", b"data"), lambda: store.get("a"), lambda: store.list()):
            hit.clear()
            with pytest.raises(Overloaded, match="is busy"):
                call()
            assert len(hit) == 5
    assert store.list() == []


def test_a_large_put_survives_busy_parts_and_knows_its_digest(
    aws: Account, store: S3Objects, small_parts: None
) -> None:
    total = 17 << 20
    with aws.broken(times(4, slow_down, is_part)) as hit:
        info = store.put("big", pieces(total))
    whole = b"".join(pieces(total))
    assert (info.bytes, info.sha256) == (total, hashlib.sha256(whole).hexdigest())
    assert store.head("big") == info
    assert store.get("big") == whole
    assert len(hit) == 4
    assert unfinished(aws, store) == []


@pytest.mark.parametrize("where", ["part", "complete", "data", "create"])
def test_a_large_put_that_breaks_leaves_nothing(
    aws: Account, store: S3Objects, small_parts: None, where: str
) -> None:
    store.put("big", b"old")

    def broken_off() -> Iterator[bytes]:
        yield from pieces(12 << 20)
        raise ConnectionError("the client went away")

    def breaks(request: Request) -> Answer | None:
        here = {"part": is_part(request), "complete": "uploadId=" in request.path and request.method == "POST"}
        here["create"] = request.path.endswith("?uploads")
        return slow_down(request) if here.get(where) else None

    with aws.broken(breaks), pytest.raises(ConnectionError if where == "data" else Overloaded):
        store.put("big", broken_off() if where == "data" else pieces(12 << 20))
    assert store.get("big") == b"old"
    assert unfinished(aws, store) == []


def test_an_object_larger_than_one_copy_moves_is_described_in_parts(
    aws: Account, store: S3Objects, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "COPY_BYTES", 6 << 20)
    info = store.put("big", pieces(13 << 20))
    assert store.head("big") == info
    assert store.get("big") == b"".join(pieces(13 << 20))
    assert unfinished(aws, store) == []


def test_of_two_large_puts_the_digest_is_that_of_the_one_that_stays(
    aws: Account, store: S3Objects, small_parts: None
) -> None:
    contents = [bytes([n]) * (6 << 20) for n in range(4)]
    threads = [threading.Thread(target=store.put, args=("big", iter([data]))) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.head("big").sha256 == hashlib.sha256(store.get("big")).hexdigest()


def test_a_put_whose_answer_was_lost_is_done(aws: Account, store: S3Objects) -> None:
    with aws.broken(times(1, lambda _: LostAnswer(), lambda r: r.method == "PUT")) as hit:
        store.put("a", b"data")
    assert len(hit) == 1
    assert store.get("a") == b"data"


def cut(request: Request) -> Answer | None:
    """The first 1.5 MB of 3 MB, and the connection breaks."""
    if request.method != "GET" or "list-type" in request.path:
        return None
    return Answer(200, {"content-length": "3000000", "etag": '"x"'}, bytes(1_500_000), close=True)


def test_a_body_that_breaks_off_is_read_on_from_there(aws: Account, store: S3Objects) -> None:
    data = bytes(1_000_000) + b"end" * 666_667
    etag = aws.client("s3").put_object(Bucket=store.bucket, Key="a", Body=data)["ETag"]

    def half(request: Request) -> Answer | None:
        answer = cut(request)
        return answer and answer._replace(headers={**answer.headers, "etag": etag}, body=data[:1_500_000])

    with aws.broken(times(1, half)) as hit:
        assert store.get("a") == data
    assert len(hit) == 1
    with aws.broken(times(1, half)):
        assert b"".join(store.read("a", 0, 2_900_000)) == data[:2_900_000]


def test_a_body_that_always_breaks_off_is_an_error_and_never_a_short_answer(
    aws: Account, store: S3Objects
) -> None:
    store.put("a", bytes(3_000_000))
    with aws.broken(lambda r: (a := cut(r)) and a._replace(body=b"")) as hit:
        with pytest.raises(GenAIStackError, match="breaks off answers"):
            store.get("a")
        assert len(hit) == 5


def test_an_object_that_changed_while_it_was_read_is_an_error(aws: Account, store: S3Objects) -> None:
    store.put("a", bytes(3_000_000))
    with aws.broken(times(1, cut)), pytest.raises(GenAIStackError, match="PreconditionFailed"):
        store.get("a")


def test_memory_stays_constant(aws: Account, store: S3Objects) -> None:
    """moto keeps what it gets, so it is left out here."""
    total, sizes = 200 << 20, []

    def answer(request: Request) -> Answer:
        sizes.append(len(request.body))
        aws.seen.clear()
        if request.path.endswith("?uploads"):
            said = "<R><UploadId>u</UploadId></R>"
        else:
            said = '<R><ETag>"e"</ETag></R>' if request.method == "POST" or not request.body else ""
        headers = {"etag": '"e"', "last-modified": "Tue, 24 Nov 2026 16:00:00 GMT", "x-amz-meta-sha256": "0"}
        return Answer(200, headers, said.encode())

    aws.faults.append(answer)
    tracemalloc.start()
    try:
        store.put("huge", pieces(total))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        aws.faults.remove(answer)
    assert sum(sizes) >= total
    # Both ends run here: five parts of the client's, and what the server has read of four.
    assert peak < 100 << 20


def test_what_others_put_has_a_digest_too(aws: Account, store: S3Objects) -> None:
    aws.client("s3").put_object(Bucket=store.bucket, Key="theirs", Body=b"theirs")
    (info,) = store.list()
    assert info.sha256 == hashlib.sha256(b"theirs").hexdigest() == store.head("theirs").sha256


def test_what_others_put_under_a_key_of_their_own_is_left_out(aws: Account, store: S3Objects) -> None:
    aws.client("s3").put_object(Bucket=store.bucket, Key="a/../b", Body=b"theirs")
    store.put("mine", b"")
    assert [info.key for info in store.list()] == ["mine"]


def test_a_bucket_that_is_not_there_names_the_stack(aws: Account) -> None:
    store = S3Objects("never-deployed-bucket")
    says = (
        "the bucket never-deployed-bucket doesn't exist; run: npx aws-cdk@2.1148.1 deploy GenaiStack-Training"
    )
    for call in (
        lambda: store.put("a", b""),
        lambda: store.put("a", pieces(12 << 20)),
        lambda: store.get("a"),
        lambda: store.head("a"),
        lambda: store.list(),
        lambda: store.delete("a"),
    ):
        with pytest.raises(NotDeployedError, match=says):
            call()
    store.close()


def test_a_refusal_names_the_action(aws: Account, store: S3Objects) -> None:
    store.put("a", b"data")
    with aws.broken(denied):
        for call, action in (
            (lambda: store.put("a", b""), "s3:PutObject"),
            (lambda: store.get("a"), "s3:GetObject"),
            (lambda: store.head("a"), "s3:GetObject"),
            (lambda: store.list(), "s3:ListBucket"),
            (lambda: store.delete("a"), "s3:DeleteObject"),
        ):
            with pytest.raises(GenAIStackError, match=rf"may not {action} on the bucket"):
                call()
