"""Films made by a host that works on without the process that asked: nothing runs between requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import openai
import pytest

from genai_stack.errors import Overloaded
from genai_stack.local.objects import DirectoryObjects
from genai_stack.local.records import SqliteRecords
from genai_stack.protocol.videos import VideoError, VideoRequest
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.resources.once import Once
from genai_stack.service.videos import records as records_of
from genai_stack.service.videos.places import PLACES, Places
from genai_stack.service.videos.records import StoredVideo
from genai_stack.service.videos.videos import Videos
from tests.aws.account import account
from tests.contracts.adapters import RECORDS
from tests.service.conftest import MASTER, Api
from tests.service.fakes import serving
from tests.service.resources.conftest import Stack
from tests.service.resources.queue import HandQueue
from tests.service.test_ledger import entries
from tests.service.videos.conftest import CONFIG, filming
from tests.service.videos.filming import MP4, PNG, LongHost

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


class Frozen(NamedTuple):
    stack: Stack
    host: LongHost


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frozen]:
    jobs, host = HandQueue(), LongHost()
    services = msgspec.structs.replace(filming(tmp_path_factory.mktemp("stage"), jobs), long_work=host)
    keys = ApiKeys(services.records, MASTER)
    _, other = keys.create("other", tenant="other")
    models: Any = services.models
    registry: Any = services.registry
    records: Any = services.records
    with serving(build_app(services, keys=keys, config=CONFIG, freezes=True)) as port:
        yield Frozen(Stack(Api(port, models, registry, records, keys), services, jobs, other), host)


@pytest.fixture
def host(frozen: Frozen) -> LongHost:
    frozen.host.__init__()  # type: ignore[misc]
    return frozen.host


@pytest.fixture
def client(frozen: Frozen, host: LongHost) -> Iterator[openai.OpenAI]:
    with frozen.stack.client() as made:
        yield made


def test_whoever_looks_takes_what_it_came_to(frozen: Frozen, client: openai.OpenAI, host: LongHost) -> None:
    id, key = frozen.stack.api.keys.create("pays", tenant="pays")
    with frozen.stack.client(key) as mine:
        made = mine.videos.create(prompt="rain", model="films", input_reference=("a.png", PNG))
        assert made.status == "in_progress"
        fields, files = host.form("q0")
        assert (host.asked["q0"][1], fields["seconds"], files) == (
            "/v1/videos/sync", b"4", [("input_reference", len(PNG))],
        )  # fmt: skip
        assert mine.videos.retrieve(made.id).status == "in_progress"
        host.made["q0"] = MP4
        (listed,) = mine.videos.list().data
        assert (listed.id, listed.status) == (made.id, "completed")
        assert mine.videos.download_content(made.id).read() == MP4
    assert host.withdrawn == {"q0"}
    (entry,) = entries(frozen.stack.api, "pays", 1)
    assert (entry.what, entry.key, entry.served, entry.cost) == (made.id, id, 5.0, 5 * 10**9)


def test_a_failure_has_its_reason(client: openai.OpenAI, host: LongHost) -> None:
    broken, odd = client.videos.create(prompt="a"), client.videos.create(prompt="b")
    host.broke["q0"] = "out of memory"
    host.made["q1"] = b'{"error": "no film"}'
    failed = client.videos.retrieve(broken.id)
    assert failed.error is not None
    assert (failed.status, failed.error.message) == ("failed", "out of memory")
    none = client.videos.retrieve(odd.id)
    assert none.error is not None
    assert (none.status, none.error.code) == ("failed", "engine_failed")


def test_a_refusal_leaves_no_film(frozen: Frozen, client: openai.OpenAI, host: LongHost) -> None:
    before = [video.id for video in client.videos.list()]
    host.failure = Overloaded("Too many wait; try again.")
    headers = {"Idempotency-Key": "refused"}
    with pytest.raises(openai.RateLimitError):
        client.videos.create(prompt="rain", extra_headers=headers)
    assert [video.id for video in client.videos.list()] == before
    host.failure = None
    made = client.videos.create(prompt="rain", extra_headers=headers)
    assert client.videos.create(prompt="rain", extra_headers=headers).id == made.id
    assert len(host.asked) == 1


def test_the_same_create_twenty_times(client: openai.OpenAI, host: LongHost) -> None:
    host.delay = 0.1
    headers = {"Idempotency-Key": "once"}
    with ThreadPoolExecutor(20) as pool:
        made = set(pool.map(lambda _: client.videos.create(prompt="a", extra_headers=headers).id, range(20)))
    assert len(made) == len(host.asked) == 1


def test_a_tenant_has_so_many_with_the_host(frozen: Frozen, host: LongHost) -> None:
    _, key = frozen.stack.api.keys.create("many", tenant="many")
    with frozen.stack.client(key) as mine, frozen.stack.client(frozen.stack.other) as theirs:
        host.failure = Overloaded("Too many wait; try again.")
        for _ in range(PLACES + 1):  # which leaves none taken
            with pytest.raises(openai.RateLimitError, match="Too many"):
                mine.videos.create(prompt="rain")
        host.failure = None
        once = {"Idempotency-Key": "first"}
        first = mine.videos.create(prompt="first", extra_headers=once)
        made = [mine.videos.create(prompt="rain") for _ in range(PLACES - 1)]
        for _ in range(2):
            with pytest.raises(openai.RateLimitError, match="wait for one to end") as caught:
                mine.videos.create(prompt="rain")
        assert caught.value.code == "too_many_videos"
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert len(host.asked) == len(mine.videos.list().data) == PLACES
        assert mine.videos.create(prompt="first", extra_headers=once).id == first.id
        theirs.videos.delete(theirs.videos.create(prompt="snow").id)
        mine.videos.delete(made[0].id)
        host.made["q1"] = MP4  # nobody has looked yet
        host.made["q2"] = MP4
        mine.videos.create(prompt="rain")
        mine.videos.create(prompt="rain")
        with pytest.raises(openai.RateLimitError):
            mine.videos.create(prompt="rain")


@pytest.mark.parametrize("adapter", RECORDS)
def test_processes_never_take_more_places_together(
    adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
    records = RECORDS[adapter](tmp_path)
    videos = Videos(DirectoryObjects(tmp_path / "objects"), records, Once(records), long_work=LongHost())

    def take(_: int) -> str | None:
        claim, _ = videos.claim("me", None, "")
        videos.queue("me", claim, StoredVideo(claim.id, 1, "key", VideoRequest("rain", "films")))
        try:
            Places(records, videos).take("me", claim.id)
        except Overloaded:
            videos.unmade("me", claim.id)
            return None
        return claim.id

    with ThreadPoolExecutor(PLACES) as pool:
        taken = [id for id in pool.map(take, range(2 * PLACES)) if id is not None]
    assert len(taken) == PLACES
    Places(records, videos).take("me", taken[0])
    assert take(0) is None
    videos.fail("me", taken[3], VideoError("server_error", "x"))
    assert take(0) is not None
    assert take(0) is None


def test_one_that_is_sent_again_has_its_place_before_those_that_found_it_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = SqliteRecords(tmp_path / "records")
    videos = Videos(DirectoryObjects(tmp_path / "objects"), records, Once(records), long_work=LongHost())
    places = Places(records, videos)

    def queued(key: bytes) -> str:
        claim, _ = videos.claim("me", key, "")
        videos.queue("me", claim, StoredVideo(claim.id, 1, "key", VideoRequest("rain", "films")))
        return claim.id

    for number in range(PLACES):
        places.take("me", queued(b"%d" % number))
    videos.unmade("me", queued(b"0"))
    put, between = records.put, [b"0"]

    def again(collection: str, *what: Any, **more: Any) -> Any:
        if collection == "videos-places/me" and between:
            places.take("me", queued(between.pop()))
        return put(collection, *what, **more)

    late = queued(b"late")
    monkeypatch.setattr(records, "put", again)
    with pytest.raises(Overloaded):
        places.take("me", late)
    records.close()


def test_deleting_one_withdraws_it(frozen: Frozen, host: LongHost) -> None:
    _, key = frozen.stack.api.keys.create("leaves", tenant="leaves")
    with frozen.stack.client(key) as mine:
        made = mine.videos.create(prompt="rain", model="films")
        mine.videos.delete(made.id)
        assert host.withdrawn == {"q0"}
        assert mine.videos.list().data == []
    (entry,) = entries(frozen.stack.api, "leaves", 1)
    assert (entry.what, entry.outcome) == (made.id, "left")


def test_a_process_that_dies_while_it_hands_over(
    frozen: Frozen, client: openai.OpenAI, host: LongHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_of, "LEASE_SECONDS", -1.0)  # whoever looks takes it for dead
    host.delay = 0.3
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(client.videos.create, prompt="dies", extra_headers={"Idempotency-Key": "dies"})
        deadline = time.monotonic() + 10
        while not any(video.prompt == "dies" for video in client.videos.list()):
            assert time.monotonic() < deadline
        video = making.result()
    assert video.error is not None
    assert (video.status, host.withdrawn) == ("failed", {"q0"})
    assert client.videos.create(prompt="dies", extra_headers={"Idempotency-Key": "dies"}).id == video.id


def test_without_a_host_for_long_work_a_frozen_process_makes_none(frozen: Frozen) -> None:
    services = msgspec.structs.replace(frozen.stack.services, long_work=None)
    app = build_app(services, keys=ApiKeys(services.records, MASTER), freezes=True)
    with (
        serving(app) as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=MASTER, max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.videos.create(prompt="rain")
        assert caught.value.code == "no_video_model"
