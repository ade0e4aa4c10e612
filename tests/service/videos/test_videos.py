"""Films, asked for with the unmodified openai client and strict validation; behind it a host that answers as vLLM-Omni
does."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from genai_stack.errors import GenAIStackError, Overloaded
from genai_stack.protocol.videos import VideoRequest
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.needs import NEEDS
from genai_stack.service.principal import Limits
from genai_stack.service.resources.once import Once
from genai_stack.service.resources.unfiled import Unfiled
from genai_stack.service.videos import behind
from genai_stack.service.videos.records import LEASE_SECONDS, StoredVideo
from genai_stack.service.videos.videos import Videos
from tests.service.conftest import MASTER, Answer, Api, assert_problem
from tests.service.fakes import CHAT, MemoryRecords, MemoryRegistry, services, serving
from tests.service.resources.conftest import Stack
from tests.service.resources.queue import HandQueue
from tests.service.test_ledger import entries
from tests.service.videos.conftest import filming
from tests.service.videos.filming import MP4, PNG, FilmHost

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def until(client: openai.OpenAI, id: str, *statuses: str) -> Any:
    deadline = time.monotonic() + 20
    while (found := client.videos.retrieve(id)).status not in statuses:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def running(host: FilmHost, count: int = 1) -> None:
    deadline = time.monotonic() + 20
    while host.running < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def form(api: Api, *parts: tuple[str, str, bytes], key: str = MASTER, **headers: str) -> Answer:
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (name.encode(), more.encode(), value)
        for name, more, value in parts
    )
    kind = {"content-type": "multipart/form-data; boundary=b", **headers}
    return api.call("POST", "/v1/videos", body + b"--b--\r\n", kind, key=key)


def test_a_film_from_its_prompt_to_its_bytes(client: openai.OpenAI, host: FilmHost) -> None:
    host.hanging = True
    made = client.videos.create(prompt="rain", model="films", seconds="8", size="1280x720")
    assert (made.status, made.progress, made.model) == ("queued", 0, "films")
    assert (made.seconds, made.size, made.prompt) == ("8", "1280x720", "rain")
    assert made.id.startswith("video_")
    assert until(client, made.id, "in_progress").progress == 0
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.download_content(made.id)
    assert caught.value.code == "video_not_completed"
    with pytest.raises(openai.BadRequestError):
        client.videos.remix(made.id, prompt="snow")
    host.hanging = False
    done = until(client, made.id, "completed")
    assert (done.progress, done.error) == (100, None)
    assert done.completed_at is not None
    assert done.expires_at == done.completed_at + 30 * 86_400
    content = client.videos.download_content(made.id, variant="video")
    assert (content.read(), content.response.headers["content-type"]) == (MP4, "video/mp4")
    with client.videos.with_streaming_response.download_content(made.id) as streamed:
        assert b"".join(streamed.iter_bytes(64)) == MP4
    ((fields, files),) = host.forms
    assert fields == {b.decode(): v for b, v in {
        b"prompt": b"rain", b"model": b"films", b"seconds": b"8", b"size": b"1280x720",
    }.items()}  # fmt: skip
    assert files == []


async def test_the_asynchronous_client_waits_for_it(stack: Stack, host: FilmHost) -> None:
    async with openai.AsyncOpenAI(
        base_url=stack.api.base_url, api_key=MASTER, max_retries=0, _strict_response_validation=True
    ) as client:
        made = await client.videos.create_and_poll(
            prompt="rain", input_reference=("a.png", PNG, "image/png"), poll_interval_ms=10
        )
        assert made.status == "completed"
        assert host.forms[0][1] == [("input_reference", len(PNG))]
        raw = await client.videos.with_raw_response.retrieve(made.id)
        assert raw.parse() == made
        remixed = await client.videos.remix(made.id, prompt="snow")
        assert remixed.remixed_from_video_id == made.id
        assert (await client.videos.poll(remixed.id, poll_interval_ms=10)).status == "completed"
        assert host.forms[1][0]["prompt"] == b"snow"
        assert host.forms[1][1] == [("input_reference", len(MP4))]
        assert (await client.videos.download_content(remixed.id)).read() == MP4
        assert (await client.videos.delete(made.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.videos.retrieve(made.id)
        assert (await client.videos.retrieve(remixed.id)).remixed_from_video_id == made.id


def test_ranges_of_it(stack: Stack, client: openai.OpenAI) -> None:
    made = client.videos.create_and_poll(prompt="rain", poll_interval_ms=10)
    path = f"/v1/videos/{made.id}/content"
    part = stack.api.call("GET", path, headers={"range": "bytes=4-7"})
    assert (part.status, part.body) == (206, b"ftyp")
    assert part.headers["content-range"] == f"bytes 4-7/{len(MP4)}"
    assert stack.api.call("HEAD", path).headers["content-length"] == str(len(MP4))
    assert_problem(stack.api.call("GET", path, headers={"range": "bytes=99999-"}), 416)
    for variant in ("thumbnail", "spritesheet", "poster"):
        assert_problem(stack.api.get(f"{path}?variant={variant}"), 400, param="variant")


def test_lists_are_a_tenant_s_own(stack: Stack, client: openai.OpenAI, host: FilmHost) -> None:
    for video in client.videos.list():
        client.videos.delete(video.id)
    ids = [client.videos.create_and_poll(prompt=f"p{n}", poll_interval_ms=5).id for n in range(5)]
    assert [video.id for video in client.videos.list(limit=2)] == ids[::-1]
    assert [video.id for video in client.videos.list(limit=2, order="asc", after=ids[1])] == ids[2:]
    page = client.videos.list(limit=3)
    assert (len(page.data), page.has_more) == (3, True)
    for path, method in (("", "GET"), ("", "DELETE"), ("/content", "GET"), ("/remix", "POST")):
        body = {"prompt": "a"} if method == "POST" else None
        theirs = stack.api.call(method, f"/v1/videos/{ids[0]}{path}", body, key=stack.other)
        nobody = stack.api.call(method, f"/v1/videos/video_{'0' * 24}{path}", body, key=stack.other)
        assert_problem(theirs, 404)
        assert theirs.body.replace(ids[0].encode(), b"") == nobody.body.replace(b"video_" + b"0" * 24, b"")
    assert stack.api.get("/v1/videos", key=stack.other).json()["data"] == []


def test_json_and_forms_say_the_same(stack: Stack, host: FilmHost, client: openai.OpenAI) -> None:
    told = {"negative_prompt": "fog", "num_inference_steps": 9, "guidance_scale": 4.5, "seed": 7, "user": "ada"}
    client.videos.create(prompt="rain", model="films", extra_body=told)
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    file = client.files.create(file=("a.png", PNG), purpose="user_data")
    whole = {"prompt": "rain", "model": "films", **told, "seconds": "4", "size": "832x480"}
    references: tuple[Any, ...] = ({"image_url": url}, {"file_id": file.id})
    for reference in references:
        made = stack.api.post("/v1/videos", {**whole, "input_reference": reference}).json()
        assert made["size"] == "832x480"
        until_done(client, made["id"])
        told_so: dict[str, Any] = {"input_reference": reference}
        client.videos.poll(client.videos.create(prompt="rain", extra_body=told_so).id, poll_interval_ms=5)
    fields = {"prompt": b"rain", "model": b"films", "negative_prompt": b"fog", "num_inference_steps": b"9"}
    fields |= {"guidance_scale": b"4.5", "seed": b"7", "user": b"ada", "seconds": b"4", "size": b"832x480"}
    forms = [(told, files) for told, files in host.forms if files]
    assert [files for _, files in forms] == [[("input_reference", len(PNG))]] * 4
    assert forms[0][0] == fields
    assert any(told == {**fields, "size": b"720x1280"} and not files for told, files in host.forms)


def until_done(client: openai.OpenAI, id: str) -> None:
    """Whatever its size, which strict validation knows four of."""
    with openai.OpenAI(base_url=client.base_url, api_key=MASTER, max_retries=0) as lenient:
        until(lenient, id, "completed")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"error": {"message": "no such size", "code": "bad_size"}}', "bad_size"),
        (200, b'{"created": 1}', "engine_failed"),
        (200, b"", "engine_failed"),
    ],
)
def test_a_failure_has_its_reason(
    client: openai.OpenAI, host: FilmHost, status: int, body: bytes, code: str
) -> None:
    host.status, host.body = status, body
    failed = client.videos.create_and_poll(prompt="rain", poll_interval_ms=5)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == code
    assert failed.error.message
    assert (failed.progress, failed.expires_at) == (0, None)
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.download_content(failed.id)
    assert caught.value.code == "video_not_completed"
    client.videos.delete(failed.id)


def test_deleting_one_stops_the_model(stack: Stack, client: openai.OpenAI, host: FilmHost) -> None:
    id, key = stack.api.keys.create("deletes", tenant="deletes")
    host.hanging = True
    with stack.client(key) as mine:
        made = mine.videos.create(prompt="rain", model="films")
        running(host)
        assert mine.videos.delete(made.id).deleted
        assert host.running == 0
        assert host.left.is_set()
        with pytest.raises(openai.NotFoundError):
            mine.videos.retrieve(made.id)
    (entry,) = entries(stack.api, "deletes", 1)
    assert (entry.outcome, entry.what, entry.key) == ("left", made.id, id)
    assert entry.served > 0


def test_it_is_charged_once_by_the_seconds_of_its_model(stack: Stack, host: FilmHost) -> None:
    id, key = stack.api.keys.create("pays", tenant="pays")
    host.delay = 0.02
    with stack.client(key) as mine:
        made = mine.videos.create_and_poll(prompt="rain", model="films", poll_interval_ms=5)
        host.status, host.body = 400, b'{"error": {"message": "no"}}'
        failed = mine.videos.create_and_poll(prompt="rain", model="films", poll_interval_ms=5)
    found = {entry.what: entry for entry in entries(stack.api, "pays", 2)}
    assert found[made.id].key == id
    assert (found[made.id].route, found[made.id].model, found[made.id].outcome) == (
        "/v1/videos", "films", "answered",
    )  # fmt: skip
    assert found[made.id].served >= 0.02
    assert found[made.id].cost >= round(found[made.id].served * 1e9)
    assert (found[failed.id].outcome, found[failed.id].cost) == ("failed", 0)


def test_a_spent_budget_makes_no_film(stack: Stack, host: FilmHost) -> None:
    _, key = stack.api.keys.create("poor", tenant="poor", limits=Limits(budget=0.0000001))
    with stack.client(key) as mine, pytest.raises(openai.RateLimitError):
        mine.videos.create(prompt="rain", model="films")
    assert host.forms == []


def test_the_same_create_twenty_times(stack: Stack, client: openai.OpenAI, host: FilmHost) -> None:
    host.hanging = True
    headers = {"Idempotency-Key": "once"}

    def create(_: int) -> str:
        return client.videos.create(prompt="rain", model="films", extra_headers=headers).id

    with ThreadPoolExecutor(20) as pool:
        (id,) = set(pool.map(create, range(20)))
    host.hanging = False
    until(client, id, "completed")
    assert create(0) == id
    assert len(host.forms) == 1
    with pytest.raises(openai.ConflictError) as caught:
        client.videos.create(prompt="snow", model="films", extra_headers=headers)
    assert caught.value.code == "idempotency_key_reused"
    client.videos.delete(id)
    with pytest.raises(openai.ConflictError):
        create(0)


def test_one_tenant_leaves_room_for_another(
    stack: Stack, client: openai.OpenAI, host: FilmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.hanging = True
    ids = [client.videos.create(prompt="rain").id for _ in range(behind.SHARE)]
    with pytest.raises(openai.RateLimitError, match="of yours"):
        client.videos.create(prompt="rain")
    with stack.client(stack.other) as theirs:
        id = theirs.videos.create(prompt="rain").id
        running(host, behind.AT_ONCE)
        theirs.videos.delete(id)
    for made in ids:
        client.videos.delete(made)
    assert host.running == 0


def test_as_many_at_once_as_there_are_places(stack: Stack, host: FilmHost) -> None:
    host.hanging = True

    def create(_: int) -> str | None:
        try:
            return client.videos.create(prompt="rain", model="films").id
        except openai.RateLimitError:
            return None

    with stack.client() as client:
        with ThreadPoolExecutor(24) as pool:
            made = [id for id in pool.map(create, range(24)) if id is not None]
        assert len(made) == behind.SHARE
        for id in made:
            client.videos.delete(id)
        client.videos.delete(client.videos.create(prompt="rain", model="films").id)


def test_one_that_is_done_as_another_process_deletes_it_is_charged(stack: Stack, host: FilmHost) -> None:
    """Which the process that had it made hasn't heard of yet."""
    _, key = stack.api.keys.create("elsewhere", tenant="elsewhere")
    services = stack.services
    elsewhere = Videos(services.objects, services.records, Once(services.records))
    host.hanging = True
    with stack.client(key) as mine:
        made = mine.videos.create(prompt="rain", model="films")
        running(host)
        elsewhere.delete("elsewhere", made.id)
        host.hanging = False
    (entry,) = entries(stack.api, "elsewhere", 1)
    assert (entry.outcome, entry.what, entry.served > 0) == ("left", made.id, True)


def test_a_film_stays_where_the_store_took_it_and_couldn_t_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filming(tmp_path, HandQueue())
    videos = Videos(made.objects, made.records, Once(made.records))
    claim, _ = videos.claim("me", None, "")
    videos.queue("me", claim, StoredVideo(claim.id, 1, "key", VideoRequest("rain", "films")))
    put = made.records.put

    def lost(collection: str, id: str, item: Any, **more: Any) -> Any:
        written = put(collection, id, item, **more)
        if item.get("status") == "completed":
            raise GenAIStackError("The connection broke off.")
        return written

    monkeypatch.setattr(made.records, "put", lost)
    with pytest.raises(GenAIStackError, match="broke off"):
        videos.complete("me", claim.id, [MP4], ended=1.0, served=1.0)
    Unfiled(made.objects, made.records).sweep(older=-1)
    _, blob = videos.content("me", claim.id)
    assert b"".join(videos.read(blob)) == MP4


def test_a_killed_process_loses_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was at has failed, with a reason; what was done is there."""
    monkeypatch.setattr(behind, "AT_ONCE", 1)
    first = filming(tmp_path, HandQueue())
    host: Any = first.models
    keys = ApiKeys(first.records, MASTER)
    with (
        serving(build_app(first, keys=keys)) as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=MASTER, max_retries=0) as client,
    ):
        done = client.videos.create_and_poll(prompt="rain", poll_interval_ms=5)
        host.hanging = True
        ids = [client.videos.create(prompt="rain").id for _ in range(2)]
        running(host)
        second = filming(tmp_path, HandQueue())  # while the first is as good as dead
        later = Videos(
            second.objects, second.records, Once(second.records), clock=lambda: time.time() + LEASE_SECONDS + 60
        )
        with (
            serving(build_app(second, keys=ApiKeys(second.records, MASTER))) as port,
            openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=MASTER, max_retries=0) as after,
        ):
            assert after.videos.retrieve(ids[0]).status == "in_progress"
            assert after.videos.retrieve(ids[1]).status == "queued"
            assert after.videos.download_content(done.id).read() == MP4
            for id in ids:
                assert later.get("master", id).status == "failed"
                found = after.videos.retrieve(id)
                assert found.status == "failed"
                assert found.error is not None
                assert "ended before it was done" in found.error.message
        host.hanging = False


def test_a_stopped_process_says_so(tmp_path: Path) -> None:
    made = filming(tmp_path, HandQueue())
    host: Any = made.models
    host.hanging = True
    with (
        serving(build_app(made, keys=ApiKeys(made.records, MASTER))) as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=MASTER, max_retries=0) as client,
    ):
        id = client.videos.create(prompt="rain").id
        running(host)
    (record,) = made.records.query("videos/master")
    assert (record.id, record.item["status"]) == (id, "failed")
    assert "stopped" in record.item["fault"]["message"]


def test_where_no_model_can_it_says_which_to_add() -> None:
    host, registry, records = FilmHost(), MemoryRegistry(), MemoryRecords()
    with serving(build_app(services(host, registry, records), keys=ApiKeys(records, MASTER))) as port:
        api = Api(port, host, registry, records, ApiKeys(records, MASTER))
        for answer in (
            api.post("/v1/videos", {"prompt": "rain", "model": "sora-2"}),
            form(api, ("prompt", "", b"rain")),
        ):
            problem = assert_problem(answer, 404, param="model")
            assert problem["code"] == "no_video_model"
            assert NEEDS["video"].entry in problem["message"]
        assert_problem(api.post("/v1/videos", {"prompt": "rain", "model": CHAT}), 400, param="model")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"seconds": 4}, "seconds"),
        ({"seconds": "0"}, "seconds"),
        ({"size": "1x1\r\n"}, "size"),
        ({"model": "nope"}, "model"),
        ({"n": 2}, "n"),
        ({"stream": True}, "stream"),
        (
            {"input_reference": {"image_url": "http://169.254.169.254/latest/meta-data"}},
            "input_reference.image_url",
        ),
        ({"input_reference": {"image_url": "data:image/png;base64,!"}}, "input_reference.image_url"),
        ({"input_reference": {"image_url": "data:image/png;base64,aGk="}}, "input_reference"),
        ({"input_reference": {"file_id": "file-x"}}, "input_reference.file_id"),
        ({"input_reference": {"file_id": "../a"}}, "input_reference.file_id"),
        ({"input_reference": {"file_id": "file-x", "image_url": "data:,"}}, "input_reference"),
        ({"input_reference": {}}, "input_reference"),
        ({"input_reference": {"video_url": "x"}}, "input_reference.video_url"),
    ],
)
def test_requests_that_are_none(stack: Stack, host: FilmHost, change: dict[str, Any], param: str) -> None:
    answer = stack.api.post("/v1/videos", {"prompt": "rain", **change})
    assert_problem(answer, 404 if param in ("model", "input_reference.file_id") else 400, param=param)
    assert host.forms == []


def test_forms_that_are_none(stack: Stack, host: FilmHost) -> None:
    api, prompt = stack.api, ("prompt", "", b"rain")
    picture = ("input_reference", '; filename="../../a.png\x00"', PNG)
    for parts, param in (
        ((picture,), "prompt"),
        ((prompt, picture, picture), "input_reference"),
        ((prompt, ("input_reference", '; filename="a"', b"hello")), "input_reference"),
        ((prompt, ("input_reference", '; filename="a"', b"")), "input_reference"),
        ((prompt, ("input_reference", "", b"no file")), "input_reference"),
        (
            (prompt, picture, ("input_reference[image_url]", "", b"data:image/png;base64,aGk=")),
            "input_reference",
        ),
        ((prompt, ("seconds", "", b"many")), "seconds"),
        ((prompt, ("mask", '; filename="m"', b"x")), "mask"),
    ):
        assert_problem(form(api, *parts), 400, param=param)
    assert_problem(form(api, prompt, ("input_reference", '; filename="a"', PNG + b"x" * 70_000)), 413)
    theirs = ("input_reference[file_id]", "", b"file-x")
    _, key = api.keys.create("no files", scopes=("inference",))
    assert_problem(form(api, prompt, theirs, key=key), 403)
    assert_problem(form(api, prompt, **{"idempotency-key": "é"}), 400)
    assert host.forms == []


def test_a_refusal_of_the_host_is_the_film_s(client: openai.OpenAI, host: FilmHost) -> None:
    host.failure = Overloaded("The model's queue is full; try again.")
    failed = client.videos.create_and_poll(prompt="rain", poll_interval_ms=5)
    assert failed.error is not None
    assert failed.error.message == "The model's queue is full; try again."
