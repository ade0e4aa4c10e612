"""Pictures, speech and moderations, asked by the openai client with strict validation; behind them a host that answers
as vLLM does."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import openai
import pytest
from openai import HttpxBinaryResponseContent

from genai_stack.config import PriceConfig, ServiceConfig, StackConfig, parse_config
from genai_stack.ports import ModelVersion
from genai_stack.service import ApiKeys, build_app, ledger
from genai_stack.service.needs import NEEDS
from genai_stack.service.principal import Limits
from genai_stack.service.verdicts import verdict
from tests.service.conftest import MASTER, Answer, Api, assert_problem
from tests.service.fakes import MemoryRecords, MemoryRegistry, services, serving
from tests.service.media_host import MODELS, PICTURE, SOUND, VllmHost
from tests.service.test_ledger import entries

ROOT = Path(__file__).parents[2]
FILE = ("a.wav", SOUND)


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    host, registry, records = VllmHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    with serving(build_app(services(host, registry, records), keys=keys)) as port:
        yield Api(port, host, registry, records, keys)


@pytest.fixture
def api(served: Api) -> Api:
    served.host.reset()
    served.registry.tuned = {}
    served.registry.configured = {version.name: version for version in MODELS}
    return served


@pytest.fixture
def client(api: Api) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=api.base_url, api_key=MASTER, max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def form(api: Api, path: str, *parts: tuple[str, str, bytes], end: bytes = b"--b--\r\n") -> Answer:
    """`parts` are name, what comes after it in the header, and the content."""
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
        % (name.encode(), more.encode(), value)
        for name, more, value in parts
    )
    return api.call("POST", path, body + end, {"content-type": "multipart/form-data; boundary=b"})


def test_pictures(client: openai.OpenAI) -> None:
    two = client.images.generate(prompt="a cat", model="draws", n=2, size="512x512", response_format="b64_json")
    assert two.data is not None
    assert [picture.b64_json for picture in two.data] == [PICTURE] * 2
    assert client.images.generate(prompt="a cat", extra_body={"seed": 7, "num_inference_steps": 4}).created == 7
    picture = ("a.png", base64.b64decode(PICTURE), "image/png")
    for image in (picture, [picture, picture]):
        changed = client.images.edit(image=cast(Any, image), prompt="a hat", mask=picture)
        assert changed.data is not None
        assert changed.data[0].b64_json == PICTURE


async def test_speech_both_ways(api: Api, client: openai.OpenAI) -> None:
    said = client.audio.speech.create(input="Hello", voice="vivian", model="speaks", speed=1.5)
    assert (said.read(), said.response.headers["content-type"]) == (SOUND, "audio/wav")
    with client.audio.speech.with_streaming_response.create(
        input="Hello", voice="vivian", model="speaks", stream_format="audio"
    ) as streamed:
        assert b"".join(streamed.iter_bytes()) == SOUND
    heard = client.audio.transcriptions.create(file=FILE, model="hears", language="en", prompt="Hm")
    assert heard.text == "Hello there"
    told = client.audio.transcriptions.create(file=FILE, model="hears", response_format="text")
    assert told == "Hello there"
    async with openai.AsyncOpenAI(
        base_url=api.base_url, api_key=MASTER, max_retries=0, _strict_response_validation=True
    ) as asynchronous:
        audio = asynchronous.audio
        full: Any = await audio.transcriptions.create(
            file=FILE, model="hears", response_format="verbose_json", timestamp_granularities=["segment"]
        )
        assert full.language == "en"
        raw = await audio.transcriptions.with_raw_response.create(file=FILE, model="hears")
        assert raw.parse().text == "Hello there"
    english = form(api, "/v1/audio/translations", ("file", '; filename="a.wav"', SOUND))
    assert english.json()["text"] == "Hello there"
    kinds = cast(VllmHost, api.host).kinds
    assert [kind.partition(";")[0] for kind in kinds] == ["application/json"] * 2 + ["multipart/form-data"] * 5


def test_music(api: Api, client: openai.OpenAI) -> None:
    body = {"input": "rain", "audio_length": 9.5, "seed": 3, "response_format": "wav", "stream_format": "audio"}
    for model in ({"model": "plays"}, {}):
        made = client.post("/audio/generations", body={**body, **model}, cast_to=HttpxBinaryResponseContent)
        assert (made.read(), made.response.headers["content-type"]) == (SOUND, "audio/wav")
    (_, route, sent), _ = api.host.seen
    assert route == "/v1/audio/generate"
    assert json.loads(sent) == {
        "model": "plays", "input": "rain", "audio_length": 9.5, "seed": 3, "response_format": "wav",
    }  # fmt: skip


def test_a_form_without_a_model_gets_one(api: Api) -> None:
    answer = form(api, "/v1/audio/transcriptions", ("file", '; filename="a.wav"', SOUND))
    assert answer.json()["text"] == "Hello there"


def test_moderations(api: Api, client: openai.OpenAI) -> None:
    good, bad = client.moderations.create(input=["hello", "kill them"]).results
    assert (good.flagged, bad.flagged) == (False, True)
    assert (bad.categories.violence, bad.categories.hate) == (True, False)
    assert (bad.category_scores.violence, good.category_scores.violence) == (1.0, 0.0)
    parts: Any = [{"type": "text", "text": "kill"}, {"type": "text", "text": "them"}]
    made = client.moderations.create(input=parts, model="guard")
    assert (made.model, len(made.results), made.results[0].flagged) == ("guard", 1, True)
    pictures: Any = [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.moderations.create(input=pictures)
    assert caught.value.param == "input[0]" or caught.value.param == "input[0].type"
    with pytest.raises(openai.BadRequestError):
        client.moderations.create(input=cast(Any, ["a", parts[0]]))
    assert_problem(api.post("/v1/moderations", {"input": "say I am no guard"}), 500)


@pytest.mark.parametrize(
    ("said", "flagged", "categories"),
    [
        ("\n\nsafe", False, set()),
        ("unsafe\nS1,S10", True, {"violence", "illicit/violent", "hate"}),
        ("unsafe\nS13", True, set()),
        ("unsafe", True, set()),
        ("Safety: Unsafe\nCategories: Non-violent Illegal Acts, Suicide & Self-Harm", True, {"illicit", "self-harm"}),
        ("Safety: Controversial\nCategories: Unethical Acts", False, set()),
        ("Safety: Safe\nCategories: None\nRefusal: No", False, set()),
    ],
)  # fmt: skip
def test_verdicts(said: str, flagged: bool, categories: set[str]) -> None:
    found = verdict(said)
    assert found is not None
    assert (found.flagged, {name for name, value in found.categories.items() if value}) == (flagged, categories)


@pytest.mark.parametrize("said", ["", "I can't help with that", "unsafe\nbecause of S1", "safely"])
def test_what_is_no_verdict(said: str) -> None:
    assert verdict(said) is None


def test_where_no_model_can_it_says_which_to_add(api: Api) -> None:
    api.registry.configured = {"chat": ModelVersion("chat", "builtin")}
    image, sound = ("image", '; filename="a"', b"x"), ("file", '; filename="a"', b"x")
    answers = {
        "image": api.post("/v1/images/generations", {"prompt": "a cat"}),
        "speech": api.post("/v1/audio/speech", {"input": "a", "voice": "b", "model": "tts-1"}),
        "music": api.post("/v1/audio/generations", {"input": "a"}),
        "moderation": api.post("/v1/moderations", {"input": "a", "model": "omni-moderation-latest"}),
        "transcription": form(api, "/v1/audio/transcriptions", sound),
    }
    edits = form(api, "/v1/images/edits", image, ("prompt", "", b"a hat"))
    for task, answer in [*answers.items(), ("image", edits)]:
        problem = assert_problem(answer, 404, param="model")
        assert problem["code"] == f"no_{task}_model"
        assert NEEDS[cast(Any, task)].entry in problem["message"]
    assert_problem(api.post("/v1/images/generations", {"prompt": "a", "model": "chat"}), 400, param="model")


@pytest.mark.parametrize("task", list(NEEDS))
def test_the_entries_to_add_are_good_ones(task: Any) -> None:
    lines = NEEDS[task].entry.split(", ")
    (model,) = parse_config("[[model]]\n" + "\n".join(lines)).models
    assert model.task == task
    ours = (ROOT / "stack.toml").read_text()
    assert all(line in ours for line in lines)


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/images/generations", {"prompt": ""}, "prompt"),
        ("/v1/images/generations", {"response_format": "url"}, "response_format"),
        ("/v1/images/generations", {"size": "1x1\r\n"}, "size"),
        ("/v1/images/generations", {"n": 11}, "n"),
        ("/v1/images/generations", {"quality": "hd"}, "quality"),
        ("/v1/images/generations", {"model": "nope"}, "model"),
        ("/v1/audio/speech", {"stream_format": "sse"}, "stream_format"),
        ("/v1/audio/speech", {"speed": 9}, "speed"),
        ("/v1/audio/generations", {"stream_format": "sse"}, "stream_format"),
        ("/v1/audio/generations", {"audio_length": 0}, "audio_length"),
        ("/v1/audio/generations", {"voice": "vivian"}, "voice"),
    ],
)
def test_requests_that_are_none(api: Api, path: str, change: dict[str, Any], param: str) -> None:
    good = {"prompt": "a cat"} if "images" in path else {"input": "a"}
    good |= {"voice": "vivian"} if "speech" in path else {}
    assert_problem(api.post(path, {**good, **change}), 404 if param == "model" else 400, param=param)
    assert api.host.seen == []


def test_forms_that_are_none(api: Api) -> None:
    path, file = "/v1/audio/transcriptions", ("file", '; filename="a.wav"', SOUND)
    for parts, param in (
        ((), "file"),
        ((("file", '; filename="a"', b""),), "file"),
        ((file, file), "file"),
        ((("file", "", b"no file"),), "file"),
        ((file, ("stream", "", b"true")), "stream"),
        ((file, ("response_format", "", b"srt")), "response_format"),
        ((file, ("temperature", "", b"hot")), "temperature"),
        ((file, ("language", "", b"en"), ("language", "", b"de")), "language"),
        ((file, ("mask", '; filename="m"', b"x")), "mask"),
    ):
        assert_problem(form(api, path, *parts), 400, param=param)
    assert_problem(form(api, path, file, end=b""), 400)
    assert_problem(form(api, path, *[(f"f{n}", "", b"") for n in range(70)]), 400)
    assert_problem(form(api, path, ("prompt", "", b"\xff"), file), 400)
    assert_problem(api.post(path, {"file": "x"}), 400)
    assert_problem(form(api, "/v1/images/edits", ("prompt", "", b"a hat")), 400, param="image")
    many = [("image[]", '; filename="a"', b"x")] * 17
    assert_problem(form(api, "/v1/images/edits", ("prompt", "", b"a hat"), *many), 400, param="image")
    assert api.host.seen == []


def test_the_model_s_own_refusal_comes_through(api: Api) -> None:
    api.host.status, api.host.body = 400, b'{"error": {"message": "no such voice", "code": 400}}'
    problem = assert_problem(api.post("/v1/audio/speech", {"input": "a", "voice": "x"}), 400)
    assert "no such voice" in problem["message"]
    api.host.status, api.host.body = 200, b'{"data": []}'
    assert_problem(api.post("/v1/images/generations", {"prompt": "a"}), 500)


ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/rerank", {"model": "judge", "query": "a", "documents": ["b"]}),
    ("/v1/moderations", {"model": "guard", "input": ["a", "b"]}),
    ("/v1/images/generations", {"model": "draws", "prompt": "a cat"}),
    ("/v1/audio/speech", {"model": "speaks", "input": "a", "voice": "vivian"}),
    ("/v1/audio/generations", {"model": "plays", "input": "rain"}),
)


@pytest.mark.parametrize(("path", "body"), ASKED)
def test_a_request_has_a_place_and_pays_for_its_seconds(
    monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.01)
    host, registry, records = VllmHost(), MemoryRegistry(), MemoryRecords()
    registry.configured = {version.name: version for version in MODELS}
    keys = ApiKeys(records, MASTER)
    config = StackConfig(
        prices=(PriceConfig(body["model"], hour=3600.0),),
        service=ServiceConfig(max_concurrent=1, max_wait_seconds=30),
    )
    asked, going = threading.Semaphore(0), threading.Event()
    invoke = host.invoke

    async def held(*told: Any, **more: Any) -> Any:
        asked.release()
        await asyncio.to_thread(going.wait, 10)
        return await invoke(*told, **more)

    monkeypatch.setattr(host, "invoke", held)
    app = build_app(services(host, registry, records), keys=keys, config=config)
    with serving(app) as port, ThreadPoolExecutor(2) as pool:
        api = Api(port, host, registry, records, keys)
        id, key = keys.create("k")
        first = pool.submit(api.call, "POST", path, body, key=key)
        assert asked.acquire(timeout=60)
        second = pool.submit(api.call, "POST", path, body, key=key)
        until = time.monotonic() + 60
        while "genai_stack_requests_waiting 1\n" not in api.get("/metrics").body.decode():
            assert time.monotonic() < until
        assert assert_problem(api.call("POST", path, body, key=key), 429)["code"] == "overloaded"
        going.set()
        assert {first.result().status, second.result().status} == {200}
        found = sorted(entries(api, id, 3), key=lambda entry: entry.status)
        assert [entry.status for entry in found] == [200, 200, 429]
        assert all(entry.served > 0 and entry.cost >= round(entry.served * 1e9) for entry in found[:2])
        assert found[2].cost == 0


def test_a_picture_s_bytes_are_no_tokens(api: Api) -> None:
    _, key = api.keys.create("k", limits=Limits(tokens_per_minute=100))
    parts = [b'name="prompt"\r\n\r\na hat', b'name="image"; filename="a"\r\n\r\n' + b"x" * 4000]
    body = b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    kind = {"content-type": "multipart/form-data; boundary=b"}
    assert api.call("POST", "/v1/images/edits", body + b"--b--\r\n", kind, key=key).status == 200


def test_what_was_judged_before_a_failure_is_charged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "FLUSH_SECONDS", 0.01)
    id, key = api.keys.create("k")
    told = api.call("POST", "/v1/moderations", {"input": ["fine", "say Hello"]}, key=key)
    assert_problem(told, 500)
    (entry,) = entries(api, id, 1)
    assert (entry.prompt, entry.completion, entry.outcome) == (10, 6, "failed")


def test_the_same_request_again_is_answered_once(api: Api, client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": "again"}

    def said(**more: Any) -> bytes:
        body, kind, options = {"input": "rain", **more}, HttpxBinaryResponseContent, {"headers": headers}
        return client.post("/audio/generations", body=body, cast_to=kind, options=cast(Any, options)).read()

    asked = len(api.host.seen)
    assert said() == said()
    assert len(api.host.seen) == asked + 1
    with pytest.raises(openai.ConflictError) as caught:
        said(seed=1)
    assert caught.value.code == "idempotency_key_reused"
    headers = {"Idempotency-Key": "again-a-form"}  # whose boundary is another each time
    for _ in range(2):
        heard = client.audio.transcriptions.create(file=FILE, model="hears", extra_headers=headers)
        assert heard.text
    assert len(api.host.seen) == asked + 2
    for path, body in (
        ("/v1/images/generations", {"prompt": "a cat"}),
        ("/v1/rerank", {"query": "a", "documents": ["a", "b"]}),
        ("/v1/moderations", {"input": "a"}),
    ):
        first, second = (api.call("POST", path, body, {"idempotency-key": f"k{path}"}) for _ in range(2))
        assert (first.status, second.body) == (200, first.body), path
        assert second.headers["idempotent-replayed"] == "true"
        assert_problem(api.call("POST", path, body, {"idempotency-key": "é"}), 400)
    assert len(api.host.seen) == asked + 5
