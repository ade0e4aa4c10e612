"""Idempotency-Key where a model answers: one effect, the same bytes again, and nothing kept that wasn't whole."""

from __future__ import annotations

import json
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from genai_stack.errors import Conflict, EngineFailed, Overloaded
from genai_stack.ports import RecordStore
from genai_stack.service import answers as answers_module
from genai_stack.service.answers import LEASE_SECONDS, Kept, Lease
from tests.aws.account import account
from tests.contracts.adapters import RECORDS
from tests.service.conftest import GOOD, MASTER, Answer, Api, assert_problem
from tests.service.fakes import CHAT, HANG, chat_events, sse

ROUTE = "/v1/chat/completions"


def header() -> dict[str, str]:
    return {"idempotency-key": secrets.token_hex(8)}


def ask(api: Api, headers: dict[str, str], route: str = ROUTE, **more: Any) -> Answer:
    return api.post(route, {**GOOD[route], **more}, headers)


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_the_same_again_is_the_first_answer(api: Api, route: str) -> None:
    again = header()
    api.host.body = json.dumps({"n": "é\u2028", "usage": {"prompt_tokens": 3}}).encode()
    first = ask(api, again, route)
    api.host.body = b'{"other": 1}'
    second = ask(api, again, route)
    assert first.status == second.status == 200
    assert second.body == first.body
    assert second.headers["content-type"] == first.headers["content-type"]
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(api.host.seen) == 1
    assert ask(api, header(), route).body == b'{"other": 1}'


def test_a_stream_is_given_again_byte_by_byte(api: Api) -> None:
    again = header()
    events = sse(*chat_events("one two three"))
    api.host.script = [*events[:2], 0.45, *events[2:]]
    first = ask(api, again, stream=True)
    assert b": keep-alive" in first.body
    api.host.script = sse(*chat_events("something else"))
    second = ask(api, again, stream=True)
    assert second.body == first.body.replace(b": keep-alive\n\n", b"")
    assert second.headers["content-type"] == first.headers["content-type"]
    assert len(api.host.seen) == 1


def test_another_request_may_not_have_the_key(api: Api) -> None:
    again = header()
    assert ask(api, again).status == 200
    for route, change in ((ROUTE, {"temperature": 0.5}), (ROUTE, {"stream": True}), ("/v1/completions", {})):
        told = ask(api, again, route, **change)
        assert assert_problem(told, 409)["code"] == "idempotency_key_reused"
        assert told.headers["x-should-retry"] == "false"
    assert len(api.host.seen) == 1


def test_tenants_share_no_keys(api: Api) -> None:
    again, body = header(), GOOD[ROUTE]
    _, mine = api.keys.create("mine", tenant="acme")
    _, too = api.keys.create("too", tenant="acme")
    _, theirs = api.keys.create("theirs")
    for key, calls in ((mine, 1), (too, 1), (theirs, 2)):
        assert api.call("POST", ROUTE, body, again, key=key).status == 200
        assert len(api.host.seen) == calls


@pytest.mark.parametrize("streamed", [False, True])
def test_twenty_at_once_ask_the_model_once(api: Api, streamed: bool) -> None:
    again = header()
    api.host.delay = 0.2
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: ask(api, again, stream=streamed), range(20)))
    assert {answer.status for answer in found} == {200}
    assert len({answer.body for answer in found}) == 1
    assert len(api.host.seen) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in found) == 19


def test_what_failed_is_asked_anew(api: Api) -> None:
    again = header()
    api.host.failure = Overloaded("full")
    assert ask(api, again).status == 429
    api.host.failure = None
    api.host.script = [*sse(*chat_events()[:2], done=False), EngineFailed("died")]
    again = header()
    assert b'"error"' in ask(api, again, stream=True).body
    api.host.script = sse({"error": {"message": "vLLM's"}})
    assert b"vLLM's" in ask(api, again, stream=True).body
    api.host.script = sse(*chat_events())
    whole = ask(api, again, stream=True)
    assert whole.body.endswith(b"data: [DONE]\n\n")
    assert "idempotent-replayed" not in whole.headers
    assert len(api.host.seen) == 4
    assert ask(api, again, stream=True).body == whole.body
    assert len(api.host.seen) == 4


def leave(api: Api, headers: dict[str, str], **more: Any) -> None:
    """Asks, and is gone before the answer."""
    body = json.dumps({**GOOD[ROUTE], **more}).encode()
    lines = [
        f"POST {ROUTE} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {MASTER}",
        f"content-length: {len(body)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    before = len(api.host.seen)
    with socket.create_connection(("127.0.0.1", api.port), 60) as raw:
        raw.sendall("\r\n".join([*lines, "\r\n"]).encode() + body)
        until = time.monotonic() + 60
        while len(api.host.seen) == before:
            assert time.monotonic() < until
            time.sleep(0.005)


def test_a_client_that_left_finds_its_answer(api: Api) -> None:
    again = header()
    api.host.delay = 0.3
    leave(api, again)
    answer = ask(api, again)
    assert answer.headers["idempotent-replayed"] == "true"
    assert len(api.host.seen) == 1
    assert not api.host.left.is_set()


def test_a_stream_whose_client_left_is_asked_anew(api: Api) -> None:
    again = header()
    api.host.script = [HANG]
    leave(api, again, stream=True)
    assert api.host.left.wait(2)
    api.host.script = sse(*chat_events())
    assert ask(api, again, stream=True).body.endswith(b"data: [DONE]\n\n")
    assert [route for _, route, _ in api.host.seen].count(ROUTE) == 2


@pytest.mark.parametrize("bad", ["", "a b", "x" * 256, "é"])
def test_keys_that_are_none(api: Api, bad: str) -> None:
    told = ask(api, {"idempotency-key": bad.encode().decode("latin-1")})
    assert assert_problem(told, 400)["code"] == "invalid_idempotency_key"
    assert not api.host.seen


def test_the_openai_client(api: Api) -> None:
    again = header()
    with openai.OpenAI(base_url=api.base_url, api_key=MASTER) as client:
        found = [
            client.chat.completions.create(
                model=CHAT, messages=[{"role": "user", "content": "Hi"}], extra_headers=again
            )
            for _ in range(2)
        ]
        with pytest.raises(openai.ConflictError):
            client.completions.create(model=CHAT, prompt="x", extra_headers=again)
    assert found[0] == found[1]
    assert len(api.host.seen) == 1


def test_an_answer_that_the_store_does_not_take_is_answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    again = header()

    def broken(*_: Any) -> bool:
        raise OSError("no store")

    monkeypatch.setattr(Lease, "keep", broken)
    assert ask(api, again, stream=True).body.endswith(b"data: [DONE]\n\n")
    assert ask(api, again, stream=True).status == 200
    assert len(api.host.seen) == 2


def test_it_is_kept_before_its_last_byte_goes_out(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill in between would else have a client that has its answer ask the model again."""
    keep = Lease.keep

    def slow(self: Lease, kind: str, body: bytes) -> bool:
        time.sleep(0.3)
        return keep(self, kind, body)

    monkeypatch.setattr(Lease, "keep", slow)
    for streamed in (False, True):
        again = header()
        began = time.monotonic()
        assert ask(api, again, stream=streamed).status == 200
        assert time.monotonic() - began > 0.3
        assert ask(api, again, stream=streamed).headers["idempotent-replayed"] == "true"


# The lease, over both stores.


@pytest.fixture(params=RECORDS)
def records(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordStore:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
    return RECORDS[request.param](tmp_path)


def test_a_lease_is_one_requests(records: RecordStore) -> None:
    first, second = Lease(records, "t", b"k", "a"), Lease(records, "t", b"k", "a")
    assert first.take() is True
    assert second.take() is False
    first.renew()
    second.release()
    assert second.take() is False
    with pytest.raises(Conflict):
        Lease(records, "t", b"k", "b").take()
    assert Lease(records, "u", b"k", "b").take() is True
    first.release()
    assert second.take() is True
    body = secrets.token_bytes(answers_module.PIECE * 2 + 7)
    assert second.keep("application/json", body)
    assert first.take() == Kept(b"application/json", body)
    first.release()
    second.release()
    assert Lease(records, "t", b"k", "a").take() == Kept(b"application/json", body), "what is kept stays"


def test_the_lease_of_a_dead_process_falls_to_the_next(
    records: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, next_ = Lease(records, "t", b"k", "a"), Lease(records, "t", b"k", "a")
    assert dead.take() is True
    later = time.time() + LEASE_SECONDS + 1
    with monkeypatch.context() as patch:
        patch.setattr(answers_module.time, "time", lambda: later)
        assert next_.take() is True
    assert not dead.keep("application/json", b"late"), "it isn't dead, but late"
    dead.release()
    assert next_.keep("application/json", b"first")
    assert dead.take() == Kept(b"application/json", b"first")


def test_an_answer_too_large_is_not_kept(records: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "MOST_BYTES", 100)
    lease = Lease(records, "t", b"k", "a")
    assert lease.take() is True
    assert not lease.keep("application/json", secrets.token_bytes(200))
    lease.release()
    assert Lease(records, "t", b"k", "another").take() is True
