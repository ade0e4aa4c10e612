"""A proxy that the environment names: whatever reaches an account goes through it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from genai_stack import settings
from genai_stack.aws import session
from genai_stack.aws.runtime import Runtime
from genai_stack.errors import ModelFailed

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class Proxy(ThreadingHTTPServer):
    """`seen` are the addresses that it was asked for, and who asked."""

    seen: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    def do_CONNECT(self) -> None:
        self.see()
        self.send_error(502)

    def do_POST(self) -> None:
        self.see()
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def see(self) -> None:
        server: Any = self.server
        server.seen.append((self.path, self.headers["proxy-authorization"]))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("CA_BUNDLE", "PROFILE", "CONFIG_FILE", "DEFAULT_REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    for service in ("DYNAMODB", "SAGEMAKER_RUNTIME"):
        monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", "http://an-account.example:8080")
    with Proxy(("127.0.0.1", 0), Handler) as server:
        server.seen = []
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{server.server_address[1]}")
        yield server
        server.shutdown()
        thread.join()


async def test_what_asks_an_account_goes_through_it(proxy: Proxy) -> None:
    client = session.client("dynamodb", attempts=1)
    client.list_tables()
    client.close()
    runtime = Runtime()
    reply = await runtime.post("/endpoints/e/invocations", {}, b"{}")
    assert (reply.status, await reply.read()) == (200, b"{}")
    await runtime.close()
    at = "http://an-account.example:8080"
    who = "Basic " + base64.b64encode(b"me:secret").decode()
    assert proxy.seen == [(f"{at}/", who), (f"{at}/endpoints/e/invocations", who)]


async def test_so_does_what_is_encrypted(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
    monkeypatch.delenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    runtime = Runtime()
    with pytest.raises(ModelFailed):
        await runtime.post("/endpoints/e/invocations", {}, b"{}")
    await runtime.close()
    assert proxy.seen == [("runtime.sagemaker.eu-central-1.amazonaws.com:443", None)]


def test_which_addresses_have_one(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings.proxy("http://a.example/x")
    assert told is not None
    assert told.startswith("http://me:secret@127.0.0.1:")
    assert settings.proxy("https://a.example") is None
    assert settings.aws_key() is None, "botocore knows how to go through it"
    monkeypatch.setenv("https_proxy", "secure.example:3128")
    assert settings.proxy("https://a.example") == "http://secure.example:3128"
    monkeypatch.setenv("NO_PROXY", "a.example,127.0.0.1")
    assert settings.proxy("https://a.example") is None
    assert settings.proxy("http://127.0.0.1:8000") is None
    assert settings.proxy("https://b.example") is not None
    for name in ("HTTP_PROXY", "https_proxy"):
        monkeypatch.delenv(name)
    assert settings.proxy("https://b.example") is None
    assert settings.aws_key() is not None


def test_sagemaker_s_sdk_goes_to_the_region_that_the_environment_names(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert session.shared().region_name == "eu-central-1"
    monkeypatch.delenv("AWS_REGION")
    assert session.shared().region_name == "us-east-1"
