"""Where the client finds a stack: the environment, a home's card, an account."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

import genai_stack
from genai_stack import AsyncGenAIStack, GenAIStack
from genai_stack.client import endpoint
from genai_stack.client.connection import Connection
from genai_stack.client.endpoint import Endpoint
from genai_stack.client.places import ThisMachine
from genai_stack.errors import GenAIStackError, NotDeployedError, Unauthorized
from tests.client.fakes import make_services


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def answering() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def card(home: Path, base_url: str | None) -> None:
    (home / "run").mkdir(parents=True, exist_ok=True)
    (home / "run" / "stack.json").write_text(json.dumps({"pid": os.getpid(), "base_url": base_url}))
    (home / "key").write_text("sk-kept\n")


def test_a_running_stack_is_joined(home: Path, answering: str, monkeypatch: pytest.MonkeyPatch) -> None:
    card(home, answering)
    with GenAIStack.local(home) as stack:
        assert stack.endpoint == Endpoint(answering, "sk-kept")
        assert str(stack.service.openai.base_url) == f"{answering}/"
        assert stack.service.openai.api_key == "sk-kept"
    monkeypatch.setenv("GENAI_STACK_API_KEY", "sk-mine")
    assert endpoint.running(home) == Endpoint(answering, "sk-mine")


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:80/v1", True),
        ("http://[::1]:80/v1", True),
        ("http://localhost/v1", True),
        ("https://localhost/v1", False),
        ("http://[::1/v1", False),
        ("http://127.0.0.1.example/v1", False),
        ("https://stack.example/v1", False),
        ("http://10.0.0.1/v1", False),
        ("nonsense", False),
    ],
)
def test_what_is_reached_directly(url: str, here: bool) -> None:
    assert Endpoint(url, "k").direct is here


def test_no_proxy_stands_before_this_machine(
    home: Path, answering: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    card(home, answering)
    with GenAIStack.local(home) as stack, pytest.raises(openai.NotFoundError):
        stack.service.openai.models.list()

    async def asked() -> None:
        async with await AsyncGenAIStack.local(home) as stack:
            await stack.service.openai.models.list()

    with pytest.raises(openai.NotFoundError):
        asyncio.run(asked())


@pytest.mark.parametrize("left", [None, "http://127.0.0.1:9/v1", "nonsense"])
def test_a_card_that_leads_nowhere_is_no_stack(home: Path, left: str | None) -> None:
    card(home, left)
    assert endpoint.running(home) is None


def test_a_broken_card_is_no_stack(home: Path) -> None:
    card(home, None)
    (home / "run" / "stack.json").write_text("{")
    assert endpoint.running(home) is None
    assert endpoint.running(home / "none") is None


def test_the_environment_names_a_stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_STACK_BASE_URL", "https://stack.example/v1/")
    monkeypatch.setenv("GENAI_STACK_API_KEY", "sk-env")
    with GenAIStack.local() as stack:
        assert stack.endpoint == Endpoint("https://stack.example/v1", "sk-env")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """In a region that no other test has anything in."""
    pytest.importorskip("moto")
    import boto3

    from tests.aws.account import account

    for name, value in (account().environment | {"AWS_DEFAULT_REGION": "eu-west-3"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_REGION", raising=False)
    ssm = boto3.client("ssm")
    yield ssm
    ssm.close()


def test_a_deployed_stack_is_found_by_what_it_published(account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://abc.execute-api.example/prod/v1/"
    account.put_parameter(Name="/genai-stack/dev/service/api-url", Value=url, Type="String")
    with GenAIStack.deployed("dev") as stack, pytest.raises(Unauthorized, match="keys create NAME --stage dev"):
        _ = stack.endpoint
    monkeypatch.setenv("GENAI_STACK_API_KEY", "sk-mine")
    with GenAIStack.deployed("dev") as stack:
        assert stack.endpoint == Endpoint(url.rstrip("/"), "sk-mine")
        assert stack.service.openai.api_key == "sk-mine"
        for layer in ("training", "hosting"):
            with pytest.raises(NotDeployedError, match="deploy GenaiStack-Training -c stage=dev"):
                getattr(stack, layer)


async def test_what_is_not_deployed_says_what_to_deploy(account: Any) -> None:
    says = (
        r"/genai-stack/prod/training/.*; run: npx aws-cdk@2\.1148\.1 deploy GenaiStack-Training -c stage=prod"
    )
    with pytest.raises(NotDeployedError, match=says):
        GenAIStack.deployed("prod")
    with pytest.raises(NotDeployedError, match=says):
        await AsyncGenAIStack.deployed("prod")


def test_an_account_that_cannot_be_asked_says_why(account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(GenAIStackError, match="check the AWS region"):
        GenAIStack.deployed("dev")


def test_closing_ends_what_was_started_once(home: Path) -> None:
    services, stopped, place = make_services(home), [], ThisMachine(home)
    stack = GenAIStack(
        Connection(
            Endpoint("http://x/v1", "k"),
            lambda: services,
            lambda _: place,
            lambda: stopped.append(1),
        )
    )
    assert stack.hosting.invoke("builtin", {}) == {"ok": True}
    stack.close()
    assert (len(stopped), services.models.closed) == (1, 1)  # type: ignore[attr-defined]


async def test_the_asynchronous_twin_closes_too(home: Path) -> None:
    services, stopped, place = make_services(home), [], ThisMachine(home)
    connection = Connection(
        Endpoint("http://x/v1", "k"), lambda: services, lambda _: place, lambda: stopped.append(1)
    )
    async with AsyncGenAIStack(connection) as stack:
        assert await stack.hosting.invoke("builtin", {}) == {"ok": True}
        assert stack.service.openai.api_key == "k"
    assert (len(stopped), services.models.closed) == (1, 1)  # type: ignore[attr-defined]


def test_the_package_shows_what_it_has() -> None:
    assert {"GenAIStack", "AsyncGenAIStack", "NotDeployedError", "GenAIStackError"} <= set(dir(genai_stack))
    assert genai_stack.NotDeployedError is NotDeployedError
    for missing in ("Nothing", "ClassVar", "nothing"):
        with pytest.raises(AttributeError):
            getattr(genai_stack, missing)
