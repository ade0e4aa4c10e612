"""Films on a stage: the API as its function runs it, over SageMaker's asynchronous endpoint and S3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from genai_stack import names
from genai_stack.aws.breaker import Breaker
from genai_stack.errors import ModelFailed, Overloaded, RequestError
from genai_stack.local.objects import DirectoryObjects
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import Order, Services
from genai_stack.service import ApiKeys, build_app
from tests.aws.hosting import Bucket, Registry, made
from tests.aws.runtime_stand_in import StandIn, always, refusal
from tests.service.conftest import MASTER
from tests.service.fakes import serving
from tests.service.media_host import taken_apart
from tests.service.videos.filming import MP4, PNG

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def taken(name: str) -> Any:
    headers = {
        "x-amzn-sagemaker-outputlocation": f"s3://answers/{name}.out",
        "x-amzn-sagemaker-failurelocation": f"s3://answers/failed/{name}.out",
    }
    return web.json_response({"InferenceId": name}, status=202, headers=headers)


@pytest.fixture
def client(tmp_path: Path, upstream: StandIn, bucket: Bucket) -> Iterator[openai.OpenAI]:
    host, registry = made(bucket), Registry()
    nothing: Any = None
    known: Any = registry
    records = SqliteRecords(tmp_path / "records.sqlite")
    services = Services(DirectoryObjects(tmp_path / "objects"), records, nothing, known, host, long_work=host)
    app = build_app(services, keys=ApiKeys(records, MASTER), freezes=True)
    with (
        serving(app) as port,
        openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1",
            api_key=MASTER,
            max_retries=0,
            _strict_response_validation=True,
        ) as client,
    ):
        yield client


def test_a_film_by_way_of_s3(client: openai.OpenAI, upstream: StandIn, bucket: Bucket) -> None:
    upstream.script = always(lambda: taken("one"))
    video = client.videos.create(prompt="rain", model="film", input_reference=("a.png", PNG))
    assert video.status == "in_progress"
    (call,) = upstream.calls
    assert call.path == f"/endpoints/{names.endpoint('dev', 'film')}/async-invocations"
    assert call.headers["x-amzn-sagemaker-custom-attributes"] == "route=/v1/videos/sync"
    assert call.headers["x-amzn-sagemaker-requestttlseconds"] == "21600"
    (question,) = bucket.kept
    assert call.headers["x-amzn-sagemaker-inputlocation"] == f"s3://questions/{question}"
    fields, files = taken_apart(bucket.kept[question], call.headers["x-amzn-sagemaker-content-type"])
    assert (fields["model"], fields["prompt"], files) == (b"film", b"rain", [("input_reference", len(PNG))])
    assert client.videos.retrieve(video.id).status == "in_progress"
    bucket.kept["one.out"] = MP4
    assert client.videos.retrieve(video.id).status == "completed"
    assert client.videos.download_content(video.id).read() == MP4
    assert bucket.kept == {}, "what was taken lies there no more"
    assert len(upstream.calls) == 1


def test_one_that_fails_or_is_deleted(client: openai.OpenAI, upstream: StandIn, bucket: Bucket) -> None:
    upstream.script = always(lambda: taken("two"))
    video = client.videos.create(prompt="rain")
    bucket.kept["failed/two.out"] = b"out of memory"
    failed = client.videos.retrieve(video.id)
    assert failed.error is not None
    assert (failed.status, "out of memory" in failed.error.message) == ("failed", True)
    client.videos.delete(client.videos.create(prompt="rain").id)
    assert bucket.kept == {}, "SageMaker finds no question"
    upstream.script = always(lambda: refusal(400, "ThrottlingException", "x"))
    with pytest.raises(openai.RateLimitError):
        client.videos.create(prompt="rain")
    assert [made.id for made in client.videos.list()] == [video.id]
    assert bucket.kept == {}


async def test_what_was_taken_in_between_failed_no_time_in_a_row(upstream: StandIn, bucket: Bucket) -> None:
    host = made(bucket, breaker=Breaker(failures=2))
    for number in range(3):
        upstream.script = always(lambda: refusal(500, "InternalFailure", "oops"))
        with pytest.raises(ModelFailed, match="oops"):
            await host.order("film", "/v1/videos/sync", b"")
        upstream.script = always(lambda number=number: taken(f"between-{number}"))
        await host.order("film", "/v1/videos/sync", b"")
    await host.close()


async def test_orders(upstream: StandIn, bucket: Bucket) -> None:
    host = made(bucket)
    upstream.script = always(lambda: taken("three"))
    order = await host.order("film", "/v1/videos/sync", b"form", kind="multipart/form-data; boundary=x")
    assert host.outcome(order) is None
    old = Order(order.question, order.output, order.failure, time.time() - 30_000)
    with pytest.raises(ModelFailed, match="in time"):
        host.outcome(old)
    host.withdraw(order)
    host.withdraw(Order("", "", "", 0.0))
    with pytest.raises(RequestError, match="at once"):
        await host.order("m", "/v1/videos/sync", b"")
    upstream.script = always(lambda: refusal(400, "ThrottlingException", "x"))
    with pytest.raises(Overloaded):
        await host.order("film", "/v1/videos/sync", b"")
    await host.close()
