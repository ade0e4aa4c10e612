"""A stage whose hosting stack is deployed: the API over its models, and the client straight on them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from aiohttp import web

from genai_stack import GenAIStack, names, wiring
from genai_stack.aws.breaker import Breaker
from genai_stack.aws.host import SageMakerHost
from genai_stack.aws.unhosted import UnhostedModels
from genai_stack.client.hosting import AsyncHosting
from genai_stack.client.places import ThisMachine
from genai_stack.errors import NotDeployedError
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.streaming import KEEP_ALIVE
from tests.aws.account import Account
from tests.aws.hosting import TEXT, Registry, hosted, made
from tests.aws.runtime_stand_in import Call, StandIn, no_capacity, part, raw
from tests.service.fakes import MemoryRecords, services, serving

CHAT = "/v1/chat/completions"


@pytest.fixture
def published(aws: Account, stage: str, upstream: StandIn) -> str:
    """The stage, with the model `m` in its hosting stack."""
    told = msgspec.json.encode(hosted("m")).decode()
    name = names.parameter(stage, "hosting", names.hosted("m"))
    aws.client("ssm").put_parameter(Name=name, Value=told, Type="String")
    return stage


@pytest.fixture
def api(upstream: StandIn) -> Iterator[int]:
    host: Any = made(breaker=Breaker(failures=10**6))
    registry: Any = Registry()
    records = MemoryRecords()
    app = build_app(services(host, registry, records), keys=ApiKeys(records, "sk-test"), keep_alive=0.1)
    with serving(app) as port:
        yield port


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    """Without the signs of life."""
    alive: int


def ask(port: int, **headers: str) -> Answer:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        sent = {"authorization": "Bearer sk-test", **{n.replace("_", "-"): v for n, v in headers.items()}}
        connection.request("POST", CHAT, json.dumps(body), sent)
        response = connection.getresponse()
        got = response.read()
        return Answer(response.status, response.headers, got.replace(KEEP_ALIVE, b""), got.count(KEEP_ALIVE))


def test_a_stage_is_hosted_once_its_stack_is(aws: Account, stage: str, published: str) -> None:
    there = wiring.aws_services(stage)
    assert isinstance(there.models, SageMakerHost)
    assert [version.name for version in there.registry.list()] == ["m"]
    assert there.registry.get("builtin").source == "builtin"  # which a training job can start from
    ssm = aws.client("ssm")
    ssm.put_parameter(Name=names.parameter("bare", "hosting", "log-group"), Value="x", Type="String")
    for what in ssm.get_parameters_by_path(Path=names.parameter(stage, "training", ""))["Parameters"]:
        name = what["Name"].replace(f"/{stage}/", "/bare/")
        ssm.put_parameter(Name=name, Value=what["Value"], Type="String", Overwrite=True)
    assert isinstance(wiring.aws_services("bare").models, UnhostedModels)


def test_a_function_hears_of_jobs_without_what_it_doesn_t_carry(published: str) -> None:
    """The events function's handler as Lambda loads it: boto3, msgspec, and no other package."""
    program = (
        "import importlib.abc, runpy, sys\n"
        "class Bare(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('aiohttp', 'yarl', 'numpy', 'openai', 'sagemaker', 'starlette', 'torch'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Bare())\n"
        "services = runpy.run_path(sys.argv[1])['services']\n"
        "print([version.name for version in services.registry.list()])\n"
    )
    handler = Path(__file__).parents[2] / "lambdas" / "events" / "handler.py"
    environment = {**os.environ, "GENAI_STACK_STAGE": published}
    done = subprocess.run(
        [sys.executable, "-c", program, handler], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "['m']\n", done.stderr


def test_through_the_api_a_cut_is_never_a_silent_half(api: int, upstream: StandIn) -> None:
    body = part(TEXT[:50]) + part(TEXT[50:])
    upstream.script = raw(body)
    assert ask(api).body == TEXT
    for cut in range(0, len(body), 2):
        upstream.script = raw(body[:cut])
        answer = ask(api)
        if answer.status != 200:
            assert answer.status == 502
            assert json.loads(answer.body)["error"]["code"] == "incomplete_stream"
            continue
        *_, last, empty = answer.body.split(b"\n\n")
        assert (empty, set(json.loads(last.removeprefix(b"data: ")))) == (b"", {"error"})
        assert b"[DONE]" not in answer.body


def test_a_stream_waits_for_a_copy_with_signs_of_life(api: int, upstream: StandIn) -> None:
    begun = time.monotonic()

    async def script(call: Call, request: web.Request) -> web.StreamResponse | None:
        return no_capacity() if time.monotonic() - begun < 0.6 else await raw(part(TEXT))(call, request)

    upstream.script = script
    answer = ask(api, x_genai_wait="30")
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.alive
    assert len(upstream.calls) > 1
    begun = time.monotonic()
    upstream.calls.clear()
    answer = ask(api)
    assert (answer.status, answer.headers["x-should-retry"]) == (503, "true")
    assert json.loads(answer.body)["error"]["code"] == "model_warming"
    assert len(upstream.calls) == 1


def test_a_client_that_leaves_ends_the_generation(api: int, upstream: StandIn) -> None:
    async def script(call: Call, request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    upstream.script = script
    connection = http.client.HTTPConnection("127.0.0.1", api, timeout=60)
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    connection.request("POST", CHAT, json.dumps(body), {"authorization": "Bearer sk-test"})
    assert upstream.arrived.wait(60)
    connection.close()
    assert upstream.gone.wait(60)


def test_the_openai_client_straight_on_an_endpoint(published: str, upstream: StandIn) -> None:
    stage = published
    with GenAIStack.deployed(stage) as stack:
        with stack.hosting.openai("m") as client:
            endpoint, component = names.endpoint("dev", "m"), names.component(stage, "m")
            there = f"{upstream.url}/endpoints/{endpoint}/inference-components/{component}/openai/v1/"
            assert str(client.base_url) == there
            said = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
            assert said.choices[0].message.content == "Hello"
            (call,) = upstream.calls
            assert f"{upstream.url}{call.path}" == f"{there}chat/completions"
            assert call.headers["authorization"].startswith("Bearer sagemaker-api-key-")
            assert json.loads(call.body)["model"] == "m"
        with pytest.raises(NotDeployedError, match="hosts no 'builtin'"):
            stack.hosting.openai("builtin")


async def test_the_asynchronous_client_too(upstream: StandIn, tmp_path: Path) -> None:
    host: Any = made()
    registry: Any = Registry()
    hosting = AsyncHosting(services(host, registry, MemoryRecords()), ThisMachine(tmp_path))
    async with await hosting.openai("a") as client:
        said = await client.chat.completions.create(model="a", messages=[{"role": "user", "content": "Hi"}])
    assert said.choices[0].message.content == "Hello"
    (call,) = upstream.calls
    assert names.component("dev", "a") in call.path
    assert call.headers["authorization"].startswith("Bearer sagemaker-api-key-")
    await host.close()
