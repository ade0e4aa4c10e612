"""CloudFormation's requests for components: one answer each, however many calls of the function it takes."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
import types
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from genai_stack.aws.component_requests import PATIENCE_SECONDS, REASON, SINCE, answer
from genai_stack.errors import GenAIStackError
from genai_stack.hosted import HostedModel

HANDLER = Path(__file__).parents[2] / "lambdas" / "components" / "handler.py"
HOSTED = HostedModel(
    name="chat",
    task="chat",
    source="hf://org/chat-4B",
    endpoint="genai-stack-dev-chat",
    role="arn:aws:iam::123456789012:role/chat",
    image="1.dkr.ecr.eu-central-1.amazonaws.com/vllm:1",
    environment={"SM_VLLM_MODEL": "org/chat-4B"},
    cpus=3.0,
    memory_mb=26000,
    accelerators=1,
    min_copies=0,
    max_copies=2,
    requests_per_copy=32,
    startup_seconds=900,
)


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Account:
    """Takes CloudFormation's answers and Lambda's calls; `status` is what it says to either."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.status = 200
        account = self

        class Handler(BaseHTTPRequestHandler):
            def take(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                account.seen.append(Seen(self.command, self.path, headers, json.loads(body)))
                self.send_response(account.status)
                self.send_header("content-length", "0")
                self.end_headers()

            do_PUT = do_POST = take

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def event(self, kind: str, **more: Any) -> dict[str, Any]:
        return {
            "RequestType": kind,
            "ResponseURL": f"{self.url}/answer?signature=x",
            "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/s/1",
            "RequestId": "r-1",
            "LogicalResourceId": "ChatComponents",
            "ResourceProperties": {
                "ServiceToken": "arn",
                "ServiceTimeout": "3600",
                "Hosted": msgspec.json.encode(HOSTED).decode(),
            },
            **more,
        }


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    made = Account()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", made.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    yield made
    made.server.shutdown()
    made.server.server_close()


class Call:
    """Lambda's context: each look at the time costs a minute of fifteen."""

    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:components"

    def __init__(self) -> None:
        self.left = 900_000

    def get_remaining_time_in_millis(self) -> int:
        self.left -= 60_000
        return self.left


class Fake:
    """Components that take so many looks to settle or go."""

    def __init__(self, looks: int = 0, error: Exception | None = None) -> None:
        self.looks, self.error = looks, error
        self.calls: list[str] = []

    def ensure(self, hosted: HostedModel) -> None:
        assert hosted == HOSTED
        self.calls.append("ensure")

    def settled(self, hosted: HostedModel) -> bool:
        return self._look("settled")

    def remove(self, hosted: HostedModel) -> bool:
        return self._look("remove")

    def _look(self, what: str) -> bool:
        if not self.calls or self.calls[-1] != what:
            self.calls.append(what)
        if self.error is not None:
            raise self.error
        self.looks -= 1
        return self.looks < 0


def ask(event: dict[str, Any], fake: Fake, now: float = 1000.0) -> list[float]:
    """Makes the call; the pauses it made."""
    pauses: list[float] = []
    answer(event, Call(), "dev", components=fake, pause=pauses.append, now=lambda: now)
    return pauses


@pytest.mark.parametrize(
    ("kind", "calls"),
    [("Create", ["ensure", "settled"]), ("Update", ["ensure", "settled"]), ("Delete", ["remove"])],
)
def test_an_answer_comes_once_it_is_done(account: Account, kind: str, calls: list[str]) -> None:
    fake = Fake(looks=3)
    assert len(ask(account.event(kind), fake)) == 3
    assert fake.calls == calls
    (told,) = account.seen
    assert (told.method, told.path) == ("PUT", "/answer?signature=x")
    assert told.headers["content-type"] == ""  # the address is signed for none
    assert told.body == {
        "Status": "SUCCESS",
        "Reason": "done",
        "PhysicalResourceId": "dev-chat-" + told.body["PhysicalResourceId"].rpartition("-")[2],
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/s/1",
        "RequestId": "r-1",
        "LogicalResourceId": "ChatComponents",
    }


def test_what_takes_longer_than_a_call_goes_on_in_another(account: Account) -> None:
    """The second call looks on, and asks for nothing anew."""
    fake = Fake(looks=20)
    ask(account.event("Create"), fake)
    (call,) = account.seen
    assert call.method == "POST"
    assert call.path.endswith("/functions/" + Call.invoked_function_arn.replace(":", "%3A") + "/invocations")
    assert call.headers["x-amz-invocation-type"] == "Event"
    assert call.body == account.event("Create", **{SINCE: 1000.0})
    ask(call.body, fake, now=1900.0)
    assert fake.calls == ["ensure", "settled"]
    assert account.seen[1].body["Status"] == "SUCCESS"
    assert len(account.seen) == 2


def test_cloudformation_hears_before_it_gives_up(account: Account) -> None:
    ask(account.event("Delete", **{SINCE: 1000.0}), Fake(looks=99), now=1001.0 + PATIENCE_SECONDS)
    (told,) = account.seen
    assert told.body["Status"] == "FAILED"
    assert "'chat' has not settled within the hour" in told.body["Reason"]


def test_a_failure_is_told_with_its_reason(account: Account) -> None:
    ask(account.event("Create"), Fake(error=GenAIStackError("no machine of that kind " + "x" * 5000)))
    (told,) = account.seen
    assert told.body["Status"] == "FAILED"
    assert told.body["Reason"].startswith("no machine of that kind")
    assert len(told.body["Reason"]) == REASON


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_what_nobody_foresaw_is_told_at_once_and_logged(
    account: Account, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    ask(account.event(kind), Fake(error=KeyError("RuntimeConfig")))
    (told,) = account.seen
    assert told.body["Status"] == "FAILED"
    assert told.body["Reason"] == "unexpected KeyError: 'RuntimeConfig'; the function's log has all of it"
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("given", [{}, {"Hosted": "{"}, {"Hosted": "[]"}, {"Hosted": '{"name": "chat"}'}])
def test_a_request_that_cannot_be_read_is_answered(account: Account, given: dict[str, str]) -> None:
    """Also when it is to be deleted, under the name that it had."""
    for more in ({}, {"PhysicalResourceId": "dev-chat-1"}):
        ask(account.event("Delete", **more) | {"ResourceProperties": given}, Fake())
    made, gone = account.seen
    assert made.body["Status"] == gone.body["Status"] == "FAILED"
    if "name" not in given.get("Hosted", ""):
        assert made.body["PhysicalResourceId"] == "ChatComponents"
        assert gone.body["PhysicalResourceId"] == "dev-chat-1"


def test_an_answer_that_is_not_taken_is_raised_and_so_tried_again(account: Account) -> None:
    account.status = 500
    with pytest.raises(GenAIStackError, match="CloudFormation can't be answered"):
        ask(account.event("Create"), Fake())


def test_the_handler_is_wiring(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    import genai_stack.aws

    fake = Fake()
    module = types.ModuleType("genai_stack.aws.components")
    made = {"dev": fake}
    vars(module)["Components"] = made.__getitem__
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(genai_stack.aws, "components", module, raising=False)
    spec = importlib.util.spec_from_file_location("components_handler", HANDLER)
    assert spec
    assert spec.loader
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    handler.handle(account.event("Create"), Call())
    assert fake.calls == ["ensure", "settled"]
    assert [told.body["Status"] for told in account.seen] == ["SUCCESS"]
