"""/v1/files and /v1/uploads, driven by the openai client with strict validation."""

from __future__ import annotations

import hashlib
import http.client
import io
import tracemalloc
from typing import Any

import openai
import pytest

from tests.service.conftest import MASTER, assert_problem
from tests.service.resources.conftest import Stack

LINE = b'{"messages": []}\n'


def made(client: openai.OpenAI, content: bytes = LINE, name: str = "a.jsonl", **more: Any) -> Any:
    return client.files.create(file=(name, content), purpose=more.pop("purpose", "fine-tune"), **more)


def test_a_file_comes_and_goes(client: openai.OpenAI) -> None:
    content = b"\r\n--boundary\r\n\0" * 40_000
    file = made(client, content, "ünï code.jsonl", expires_after={"anchor": "created_at", "seconds": 3600})
    assert (file.bytes, file.filename, file.purpose) == (len(content), "ünï code.jsonl", "fine-tune")
    assert file.expires_at == file.created_at + 3600
    assert file.model_extra["sha256"] == hashlib.sha256(content).hexdigest()
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    assert file.id in [f.id for f in client.files.list(purpose="fine-tune")]
    assert file.id not in [f.id for f in client.files.list(purpose="batch")]
    assert client.files.delete(file.id).deleted
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(file.id)


async def test_asynchronous_and_raw(stack: Stack) -> None:
    async with openai.AsyncOpenAI(
        base_url=stack.api.base_url, api_key=MASTER, max_retries=0, _strict_response_validation=True
    ) as client:
        raw = await client.files.with_raw_response.create(file=io.BytesIO(LINE), purpose="user_data")
        file = raw.parse()
        assert raw.headers["x-request-id"]
        async with client.files.with_streaming_response.content(file.id) as answer:
            assert b"".join([chunk async for chunk in answer.iter_bytes()]) == LINE
        assert file.id in [f.id async for f in await client.files.list(limit=1)]
        assert (await client.files.delete(file.id)).deleted


def test_pages_stay_where_they_are(client: openai.OpenAI) -> None:
    ids = [made(client, name=f"{n}.txt", purpose="assistants").id for n in range(5)]
    page = client.files.list(purpose="assistants", limit=2)
    assert [f.id for f in page.data] == ids[:2:-1]
    made(client, name="new.txt", purpose="assistants")
    client.files.delete(ids[3])  # the cursor itself
    assert [f.id for f in page.get_next_page().data] == [ids[2], ids[1]]
    everything = [f.id for f in client.files.list(purpose="assistants", limit=2, order="asc")]
    assert everything[:4] == [ids[0], ids[1], ids[2], ids[4]]
    assert len(everything) == len(set(everything)) == 5


@pytest.mark.parametrize(
    ("asked", "status", "told", "body"),
    [
        ("bytes=0-3", 206, "bytes 0-3/10", b"0123"),
        ("bytes=7-", 206, "bytes 7-9/10", b"789"),
        ("bytes=-2", 206, "bytes 8-9/10", b"89"),
        ("bytes=-99", 206, "bytes 0-9/10", b"0123456789"),
        ("bytes=4-99", 206, "bytes 4-9/10", b"456789"),
        ("bytes=10-", 416, "bytes */10", None),
        ("bytes=-0", 416, "bytes */10", None),
        ("bytes=5-2", 200, None, b"0123456789"),
        ("bytes=0-1,3-4", 200, None, b"0123456789"),
        ("lines=0-1", 200, None, b"0123456789"),
    ],
)
def test_ranges(
    stack: Stack, client: openai.OpenAI, asked: str, status: int, told: str | None, body: bytes | None
) -> None:
    file = made(client, b"0123456789")
    answer = stack.api.get(f"/v1/files/{file.id}/content", headers={"range": asked})
    assert answer.status == status
    assert answer.headers.get("content-range") == told
    if body is None:
        assert_problem(answer, 416)
    else:
        assert answer.body == body
    head = stack.api.call("HEAD", f"/v1/files/{file.id}/content", headers={"range": asked})
    assert head.headers["content-length"] == answer.headers["content-length"]


def test_another_tenants_file_is_an_unknown_one(stack: Stack, client: openai.OpenAI) -> None:
    file = made(client)
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        foreign = stack.api.call(method, f"/v1/files/{file.id}{path}", key=stack.other)
        unknown = stack.api.call(method, f"/v1/files/{file.id[:-4]}0000{path}", key=stack.other)
        assert foreign.body.replace(file.id.encode(), b"") == unknown.body.replace(
            f"{file.id[:-4]}0000".encode(), b""
        )
        assert_problem(foreign, 404)
    assert not list(stack.client(stack.other).files.list())
    assert client.files.retrieve(file.id)


def test_a_create_sent_again_has_one_effect(client: openai.OpenAI) -> None:
    once = {"extra_headers": {"Idempotency-Key": "k-1"}}
    first, again = made(client, **once), made(client, **once)
    assert first == again
    with pytest.raises(openai.ConflictError) as caught:
        made(client, b"other", **once)
    assert caught.value.response.headers["x-should-retry"] == "false"
    client.files.delete(first.id)
    with pytest.raises(openai.ConflictError):
        made(client, **once)


def test_expired_files_are_gone(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(client, purpose="batch")
    assert file.expires_at == file.created_at + 30 * 86_400
    import genai_stack.service.resources.files as module

    class Later:
        time = staticmethod(lambda: file.created_at + 31 * 86_400)

    monkeypatch.setattr(module, "time", Later)
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def form(*parts: tuple[str, bytes], boundary: str = "x", end: bytes = b"--x--\r\n") -> bytes:
    found = b"".join(b"--x\r\n%s\r\n\r\n%s\r\n" % (head.encode(), body) for head, body in parts)
    return found + end


NAMED = 'Content-Disposition: form-data; name="file"; filename="a.txt"'
PURPOSE = ('Content-Disposition: form-data; name="purpose"', b"batch")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x--\r\n",
        form(PURPOSE),
        form((NAMED, b"1"), end=b""),
        form((NAMED, b"1")),
        form((NAMED, b"1"), ('Content-Disposition: form-data; name="purpose"', b"vision")),
        form((NAMED, b"1"), ('Content-Disposition: form-data; name="purpose"', b"\xff")),
        form((NAMED, b"1"), PURPOSE, PURPOSE),
        form((NAMED, b"1"), (NAMED, b"1"), PURPOSE),
        form((NAMED, b"1"), PURPOSE, ('Content-Disposition: form-data; name="color"', b"red")),
        form((NAMED, b"1"), ('Content-Disposition: form-data; name="purpose"', b"b" * 5000)),
        form(*[(f'Content-Disposition: form-data; name="f{n}"', b"") for n in range(20)]),
        form((NAMED, b"1"), PURPOSE, ('Content-Disposition: form-data; name="expires_after[anchor]"', b"x")),
        form((NAMED.replace("a.txt", "../../etc/passwd"), b"1"), PURPOSE),
        form((NAMED.replace("a.txt", ".."), b"1"), PURPOSE),
        form((NAMED.replace("a.txt", "a\x01b"), b"1"), PURPOSE),
        form((NAMED.replace("a.txt", "a" * 300), b"1"), PURPOSE),
        form((NAMED.replace("form-data", "attachment"), b"1"), PURPOSE),
        form((NAMED + "\r\nContent-Transfer-Encoding: base64", b"MQ=="), PURPOSE),
        form(("X: " + "y" * 10_000, b"1")),
        b"--y\r\n" + form((NAMED, b"1")),
    ],
    ids=range(21),
)
def test_forms_that_are_none(stack: Stack, body: bytes) -> None:
    before = len(stack.services.objects.list("files/"))
    answer = stack.api.post("/v1/files", body, {"content-type": "multipart/form-data; boundary=x"})
    assert_problem(answer, 400)
    assert len(stack.services.objects.list("files/")) == before, "nothing is left behind"


def test_crlf_in_a_name_reaches_no_header(stack: Stack, client: openai.OpenAI) -> None:
    name = "a%0d%0aset-cookie: x.txt"
    file = made(client, name=name)
    answer = stack.api.get(f"/v1/files/{file.id}/content")
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''a%25")
    with pytest.raises(openai.BadRequestError):
        client.uploads.create(bytes=1, filename="a\r\nb", mime_type="text/plain", purpose="batch")


@pytest.mark.parametrize(
    "id", ["..", "file-", "file-%0d%0aX", "file-" + "a" * 200, "file-..%2f..%2fetc", "%00"]
)
def test_ids_that_are_none(stack: Stack, id: str) -> None:
    for path in (f"/v1/files/{id}", f"/v1/files/{id}/content"):
        assert_problem(stack.api.get(path), 404)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "order=up", "after=%0d", "purpose=x", "color=red", "limit=1&limit=2", "%ff"]
)
def test_queries_that_are_none(stack: Stack, query: str) -> None:
    assert_problem(stack.api.get(f"/v1/files?{query}"), 400)


def test_an_upload_in_parts(client: openai.OpenAI) -> None:
    whole = bytes(range(256)) * 400
    asked: Any = {"bytes": len(whole), "filename": "big.bin", "mime_type": "x/y", "purpose": "user_data"}
    upload = client.uploads.create(**asked)
    tail = client.uploads.parts.create(upload.id, data=whole[60_000:])
    head = client.uploads.parts.create(upload.id, data=whole[:60_000])
    with pytest.raises(openai.BadRequestError):
        client.uploads.complete(upload.id, part_ids=[head.id])
    with pytest.raises(openai.BadRequestError):
        client.uploads.complete(upload.id, part_ids=[head.id, tail.id], md5="0" * 32)
    told: Any = {"part_ids": [head.id, tail.id], "md5": hashlib.md5(whole).hexdigest()}
    completed = client.uploads.complete(upload.id, **told)
    assert completed.status == "completed"
    assert completed.file is not None
    assert client.files.content(completed.file.id).read() == whole
    assert client.uploads.complete(upload.id, **told) == completed
    for late in (
        lambda: client.uploads.parts.create(upload.id, data=b"x"),
        lambda: client.uploads.cancel(upload.id),
        lambda: client.uploads.complete(upload.id, part_ids=[tail.id, head.id]),
    ):
        with pytest.raises(openai.BadRequestError):
            late()
    other = client.uploads.create(**asked)
    assert client.uploads.cancel(other.id).status == "cancelled"
    assert client.uploads.cancel(other.id).status == "cancelled"
    chunked = client.uploads.upload_file_chunked(
        file=whole, filename="c", bytes=len(whole), mime_type="x/y", purpose="batch", part_size=30_000
    )
    assert chunked.status == "completed"


def test_an_upload_takes_little_memory(stack: Stack) -> None:
    size, chunk = 48 << 20, b"z" * (1 << 16)
    head = b"--x\r\n" + NAMED.encode() + b"\r\n\r\n"
    tail = b"\r\n" + form(PURPOSE)
    connection = http.client.HTTPConnection("127.0.0.1", stack.api.port, timeout=60)
    tracemalloc.start()
    try:
        connection.putrequest("POST", "/v1/files")
        connection.putheader("authorization", f"Bearer {MASTER}")
        connection.putheader("content-type", "multipart/form-data; boundary=x")
        connection.putheader("content-length", str(len(head) + size + len(tail)))
        connection.endheaders(head)
        for _ in range(size // len(chunk)):
            connection.send(chunk)
        connection.send(tail)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert b'"bytes":%d' % size in answer.read()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
        connection.close()
