"""What crashes and expired uploads leave is swept away; how many uploads may be open, and how much of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack.errors import NotFound, Overloaded, RequestError
from genai_stack.ports import Services
from genai_stack.protocol.files import CompleteRequest, UploadRequest
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.resources import uploads as uploads_module
from genai_stack.service.resources.files import Files
from genai_stack.service.resources.once import Once
from genai_stack.service.resources.shelf import Page
from genai_stack.service.resources.uploads import MOST_PENDING, OPEN, PART_BYTES, Uploads
from tests.service.conftest import MASTER, Api
from tests.service.fakes import serving
from tests.service.resources.conftest import Stack, stores
from tests.service.resources.mortal import Died, Mortal
from tests.service.resources.queue import HandQueue
from tests.service.resources.test_stores import until_done, uploaded

ASKED = UploadRequest(3, "a", "text/plain", "batch")


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    made = stores(tmp_path, HandQueue())
    yield made
    for store in (made.objects, made.records):
        store.close()  # type: ignore[attr-defined]


def opened(services: Services, records: Any = None) -> tuple[Files, Uploads]:
    once = Once(records or services.records)
    files = Files(services.objects, records or services.records, once)
    return files, Uploads(files, records or services.records, once, 1 << 30)


def objects(services: Services) -> int:
    return len(services.objects.list("files/"))


def test_only_what_is_noted_old_and_no_record_s_is_swept(services: Services) -> None:
    files, _ = opened(services)
    services.objects.put("files/before-there-were-notes", b"x")
    files.store([b"on its way"])
    kept = files.create("me", files.store([b"kept"]), "a", "fine-tune", None)
    files.unfiled.goes_to(kept.blob, "files/me", kept.id)  # as after a crash behind the record
    assert files.unfiled.sweep() == 0
    assert objects(services) == 3
    assert files.unfiled.sweep(older=-1) == 1
    assert objects(services) == 2
    assert b"".join(files.read(files.get("me", kept.id))) == b"kept"
    assert files.unfiled.sweep(older=-1) == 0


@pytest.mark.parametrize("after", range(14))
def test_an_upload_whose_process_dies_anywhere_leaves_nothing(services: Services, after: int) -> None:
    records: Any = Mortal(services.records)
    files, uploads = opened(services, records)
    upload = uploads.create("me", ASKED, None)
    drop = files.drop

    def drops_while_alive(blob: Any) -> None:
        if not records.after:
            raise Died
        drop(blob)

    files.drop = drops_while_alive  # type: ignore[method-assign]
    records.after = after
    part, made = None, None
    try:
        part = uploads.add_part("me", upload.id, files.store([b"abc"]), None)
        made = uploads.complete("me", upload.id, CompleteRequest([part.id]))
    except Died:
        pass
    files, uploads = opened(services)
    files.unfiled.sweep(older=-1)
    if made is None and part is not None:
        made = uploads.complete("me", upload.id, CompleteRequest([part.id]))
        files.unfiled.sweep(older=-1)
    if made is None:
        uploads.cancel("me", upload.id)
    assert objects(services) == (made is not None)
    if made is not None and made.file is not None:
        assert b"".join(files.read(files.get("me", made.file.id))) == b"abc"


@pytest.mark.parametrize("deleted", [False, True])
def test_a_completed_upload_that_a_crash_left_unfiled_is_filed(services: Services, deleted: bool) -> None:
    files, uploads = opened(services)
    upload = uploads.create("me", ASKED, None)
    part = uploads.add_part("me", upload.id, files.store([b"abc"]), None)
    made = files.made

    def dies(*asked: Any) -> Any:
        if deleted:  # after the file was made, and before the upload knew
            files.delete("me", made(*asked).id)
        raise Died

    files.made = dies  # type: ignore[method-assign]
    with pytest.raises(Died):
        uploads.complete("me", upload.id, CompleteRequest([part.id]))
    files, uploads = opened(services)
    uploads.sweep()
    files.unfiled.sweep(older=-1)
    found = [b"".join(files.read(file)) for file in files.page("me", Page(10), None).items]
    assert found == ([] if deleted else [b"abc"])
    assert (objects(services), services.records.query(OPEN)) == (len(found), [])
    again = uploads.complete("me", upload.id, CompleteRequest([part.id]))
    assert (again.status, again.file is None) == ("completed", deleted)


def test_a_file_that_is_on_its_way_out_stops_no_sweep(services: Services) -> None:
    """A crash before the upload knew of its file, and another in the file's removal."""
    files, uploads = opened(services)
    upload = uploads.create("me", ASKED, None)
    part = uploads.add_part("me", upload.id, files.store([b"abc"]), None)
    made = files.made

    def dies(*asked: Any) -> Any:
        file = made(*asked)
        files._shelf.change("me", file.id, lambda now: msgspec.structs.replace(now, leaving=True))
        raise Died

    files.made = dies  # type: ignore[method-assign]
    with pytest.raises(Died):
        uploads.complete("me", upload.id, CompleteRequest([part.id]))
    files, uploads = opened(services)
    uploads.sweep()
    assert (objects(services), services.records.query(OPEN)) == (0, [])


def test_expired_uploads_go_whosever_they_are(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    files, uploads = opened(services)
    for tenant in ("me", "you"):
        upload = uploads.create(tenant, ASKED, None)
        uploads.add_part(tenant, upload.id, files.store([b"abc"]), None)
    uploads.sweep()
    assert (objects(services), len(services.records.query(OPEN))) == (2, 2)
    later = time.time() + 3601
    monkeypatch.setattr(uploads_module.time, "time", lambda: later)
    uploads.create("third", ASKED, None)
    assert (objects(services), len(services.records.query(OPEN))) == (0, 1)
    with pytest.raises(RequestError, match="expired"):
        uploads.pending("you", upload.id)


def test_pending_uploads_are_bounded(services: Services) -> None:
    _, uploads = opened(services)
    first = uploads.create("me", ASKED, b"key-0")
    for _ in range(MOST_PENDING - 1):
        uploads.create("me", ASKED, None)
    with pytest.raises(Overloaded) as caught:
        uploads.create("me", ASKED, b"another")
    assert (caught.value.code, caught.value.should_retry) == ("too_many_uploads", False)
    assert uploads.create("me", ASKED, b"key-0").id == first.id
    uploads.create("you", ASKED, None)
    uploads.cancel("me", first.id)
    uploads.create("me", ASKED, b"another")


def test_parts_are_bounded_by_what_was_announced(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads_module, "PART_BYTES", 4)
    files, uploads = opened(services)
    id = uploads.create("me", ASKED, None).id
    for _ in range(3):
        uploads.add_part("me", id, files.store([b"abc"]), None)
    with pytest.raises(RequestError) as caught:
        uploads.add_part("me", id, files.store([b"abc"]), None)
    assert caught.value.code == "too_many_parts"
    assert (objects(services), PART_BYTES) == (3, 64 * 1024 * 1024)
    with pytest.raises(NotFound):
        uploads.pending("you", id)


def test_indexing_is_charged_to_the_key_that_asked(stack: Stack) -> None:
    def counted(api: Api, key: str) -> int:
        rows = api.call("GET", "/v1/usage?by=model", key=key).json()["data"]
        return sum(row["prompt_tokens"] for row in rows)

    with stack.client(stack.other) as client:
        before = counted(stack.api, stack.other)
        file = uploaded(client, "ships sail", "a.txt")
        store = client.vector_stores.create(file_ids=[file])
        until_done(lambda: client.vector_stores.retrieve(store.id))
        assert counted(stack.api, stack.other) == before + 1  # a text, as this host counts
        client.vector_stores.delete(store.id)


def test_a_start_sweeps(tmp_path: Path) -> None:
    made = stores(tmp_path, HandQueue())
    files, _ = opened(made)
    lost = files.store([b"lost"])
    name = lost.key.removeprefix("files/")
    made.records.put("unfiled", name, {"at": 1.0, "record": None})
    with serving(build_app(made, keys=ApiKeys(made.records, MASTER))):
        until = time.monotonic() + 60
        while objects(made):
            assert time.monotonic() < until
            time.sleep(0.01)
