"""The ledger: what every request used, however it ended; sums that are those of the requests; nothing lost that a store
took late."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genai_stack.config import ModelConfig, PriceConfig, StackConfig
from genai_stack.errors import EngineFailed, ModelWarming, Overloaded
from genai_stack.protocol import ChatRequest, decode
from genai_stack.service import ApiKeys, accounts, build_app
from genai_stack.service import ledger as ledger_module
from genai_stack.service.ledger import Entry
from genai_stack.service.usage import StreamedUsage, Used
from tests.service.conftest import GOOD, MASTER, Api, assert_problem
from tests.service.fakes import (
    CHAT,
    EMBED,
    HANG,
    TUNED,
    FakeHost,
    MemoryRecords,
    MemoryRegistry,
    services,
    serving,
    sse,
)  # fmt: skip

ROUTE = "/v1/chat/completions"
CONFIG = StackConfig(
    models=(ModelConfig(CHAT, "builtin"), ModelConfig(EMBED, "minilm", "embedding")),
    prices=(PriceConfig(CHAT, 0.15, 0.075, 0.6, 3.0, 50), PriceConfig(EMBED, 0.02)),
)
PROMPT = "a prompt nobody else may read: 5f1c"


@pytest.fixture(scope="module")
def priced() -> Iterator[Api]:
    """An API with prices whose ledger is written at once."""
    before, ledger_module.FLUSH_SECONDS = ledger_module.FLUSH_SECONDS, 0.01
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    with serving(build_app(services(host, registry, records), keys=keys, config=CONFIG, keep_alive=5)) as port:
        yield Api(port, host, registry, records, keys)
    ledger_module.FLUSH_SECONDS = before


def entries(api: Api, tenant: str, count: int) -> list[Entry]:
    until = time.monotonic() + 60
    while True:
        found = list(accounts.entries(api.records, tenant, "2000-01-01", "2999-01-01"))
        if len(found) >= count:
            assert len(found) == count
            return found
        assert time.monotonic() < until, f"{len(found)} entries of {count}"
        time.sleep(0.005)


def usage_of(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    details = {"prompt_tokens_details": {"cached_tokens": cached}} if cached else {}
    return {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details,
    }  # fmt: skip


def streamed(prompt: int, completion: int, *, several: int = 1) -> list[dict[str, Any]]:
    """Events as vLLM has them with continuous usage: each of its own choice's tokens so far."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": CHAT}
    told = [
        {
            **head,
            "choices": [{"index": index, "delta": {"content": f"w{n}"}, "finish_reason": None}],
            "usage": usage_of(prompt, n),
        }
        for n in range(completion + 1)
        for index in range(several)
    ]
    return [*told, {**head, "choices": [], "usage": usage_of(prompt, completion * several)}]


ASKED = st.tuples(
    st.sampled_from(
        ["whole", "stream", "stream with usage", "broken", "overloaded", "invalid", "unknown", "tuned"]
    ),
    st.integers(0, 5000),
    st.integers(0, 40),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ASKED, min_size=1, max_size=6))
@example([("whole", 7, 2), ("stream", 9, 3), ("broken", 5, 4), ("overloaded", 1, 1), ("invalid", 0, 0)])
def test_sums_are_those_of_the_requests(priced: Api, asked: list[tuple[str, int, int]]) -> None:
    id, key = priced.keys.create("counted")
    want: dict[str, list[int]] = {}
    for kind, prompt, completion in asked:
        priced.host.reset()
        cached = prompt // 3
        body = {**GOOD[ROUTE], "model": TUNED if kind == "tuned" else CHAT}
        cost = (prompt - cached) * 150 + cached * 75 + completion * 600
        model, failed = body["model"], 0
        if kind in ("whole", "tuned"):
            priced.host.body = json.dumps(
                {"choices": [], "usage": usage_of(prompt, completion, cached)}
            ).encode()
        elif kind == "overloaded":
            priced.host.failure, failed = Overloaded("full"), 1
        elif kind in ("invalid", "unknown"):
            body, model, failed = {**body, "model": "nobody" if kind == "unknown" else 5}, "", 1
        else:
            events = streamed(prompt, completion)
            cached, cost = 0, prompt * 150 + completion * 600
            priced.host.script = sse(*events)
            if kind == "broken":
                priced.host.script, failed = [*sse(*events[:-1], done=False), EngineFailed("died")], 1
            options = {"stream_options": {"include_usage": True}} if kind == "stream with usage" else {}
            body = {**body, "stream": True, **options}
        if kind in ("overloaded", "invalid", "unknown"):
            prompt = completion = cached = cost = 0
        priced.call("POST", ROUTE, body, key=key)
        row = want.setdefault(model, [0] * 6)
        for place, value in enumerate((1, failed, prompt, cached, completion, cost)):
            row[place] += value
    entries(priced, id, len(asked))
    report = priced.get("/v1/usage?by=model,key", key=key).json()
    assert {row.get("model", ""): figures(row) for row in report["data"]} == want
    assert all(row["key"] == id for row in report["data"])
    assert figures(report["total"]) == [sum(column) for column in zip(*want.values(), strict=True)]


def figures(row: dict[str, Any]) -> list[int]:
    names = ("requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "nano_usd")
    return [row.get(name, 0) for name in names]


@pytest.mark.parametrize("several", [1, 3])
def test_a_client_that_leaves_pays_for_what_was_made(priced: Api, several: int) -> None:
    id, key = priced.keys.create("leaver")
    priced.host.reset()
    priced.host.script = [*sse(*streamed(50, 4, several=several)[:-1], done=False), HANG]
    body = json.dumps({**GOOD[ROUTE], "stream": True, "n": several}).encode()
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", priced.port), 5) as raw:
        raw.sendall(head.encode() + body)
        got = b""
        while got.count(b"w4") < several:
            got += raw.recv(65536)
    assert priced.host.left.wait(2)
    (entry,) = entries(priced, id, 1)
    assert (entry.outcome, entry.status, entry.prompt, entry.completion) == ("left", 499, 50, 4 * several)
    assert entry.cost == 50 * 150 + 4 * several * 600
    assert entry.first is not None
    assert b"usage" not in got


@pytest.mark.parametrize("prompt", ["text", "tokens", "conversation"])
def test_a_client_that_leaves_before_its_answer_pays_for_its_prompt(priced: Api, prompt: str) -> None:
    id, key = priced.keys.create("leaver")
    priced.host.reset()
    priced.host.delay = 30
    route = ROUTE if prompt == "conversation" else "/v1/completions"
    body = GOOD[route] if prompt != "tokens" else {"model": CHAT, "prompt": [[1, 2, 3], [4, 5]]}
    left(priced, key, route, body)
    (entry,) = entries(priced, id, 1)
    want = 5 if prompt == "tokens" else 2
    assert (entry.outcome, entry.status, entry.prompt, entry.completion) == ("left", 499, want, 0)
    assert entry.cost == want * 150
    counted = [json.loads(sent) for _, to, sent in priced.host.seen if to == "/v1/tokenize"]
    if prompt == "conversation":
        assert counted[0]["messages"][0]["content"] == "Hi"
    assert len(counted) == (prompt != "tokens")


def test_a_client_that_leaves_before_a_stream_s_first_event_pays_for_its_prompt(priced: Api) -> None:
    id, key = priced.keys.create("leaver")
    priced.host.reset()
    priced.host.script = [HANG]
    left(priced, key, ROUTE, {**GOOD[ROUTE], "stream": True})
    (entry,) = entries(priced, id, 1)
    assert (entry.outcome, entry.prompt, entry.completion, entry.cost) == ("left", 2, 0, 300)


def test_a_client_that_leaves_before_a_model_is_up_pays_nothing(priced: Api) -> None:
    id, key = priced.keys.create("leaver")
    priced.host.reset()
    priced.host.delay, priced.host.failure = 30, ModelWarming("coming")
    left(priced, key, ROUTE, GOOD[ROUTE])
    (entry,) = entries(priced, id, 1)
    assert (entry.outcome, entry.prompt, entry.cost) == ("left", 0, 0)


def left(api: Api, key: str, route: str, asked: dict[str, Any]) -> None:
    body = json.dumps(asked).encode()
    head = f"POST {route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), 60) as raw:
        raw.sendall(head.encode() + body)
        until = time.monotonic() + 60
        while not api.host.seen:
            assert time.monotonic() < until
            time.sleep(0.005)
    assert api.host.left.wait(2)


def test_who_sees_whose(priced: Api) -> None:
    priced.host.reset()
    _, mine = priced.keys.create("mine", tenant="acme")
    _, too = priced.keys.create("too", tenant="acme")
    _, theirs = priced.keys.create("theirs")
    _, admin = priced.keys.create("admin", scopes=("admin",))
    for key in (mine, too, theirs):
        assert priced.call("POST", ROUTE, GOOD[ROUTE], key=key).status == 200
    entries(priced, "acme", 2)
    assert priced.get("/v1/usage?by=tenant", key=mine).json()["total"]["requests"] == 2
    assert len(priced.get("/v1/usage", key=too).json()["data"]) == 2
    assert {row["tenant"] for row in priced.get("/v1/usage?by=tenant", key=mine).json()["data"]} == {"acme"}
    assert_problem(priced.get("/v1/usage?tenant=acme", key=theirs), 403)
    assert "acme" in {row["tenant"] for row in priced.get("/v1/usage?by=tenant", key=admin).json()["data"]}
    assert priced.get("/v1/usage?tenant=acme", key=admin).json()["total"]["requests"] == 2
    assert_problem(priced.call("POST", ROUTE, GOOD[ROUTE], key=admin), 403)


@pytest.mark.parametrize("query", [
    "from=2026-02-30", "to=x", "from=2026-03-02&to=2026-03-01", "from=2020-01-01", "by=", "by=day,week", "by=,", "x=1",
])  # fmt: skip
def test_questions_that_are_none(priced: Api, query: str) -> None:
    assert_problem(priced.get(f"/v1/usage?{query}"), 400)


def test_no_record_and_no_log_line_holds_a_key_or_a_prompt(
    priced: Api, caplog: pytest.LogCaptureFixture
) -> None:
    priced.host.reset()
    id, key = priced.keys.create("canary")
    messages = [{"role": "user", "content": PROMPT}]
    priced.host.body = json.dumps(
        {"choices": [{"message": {"content": PROMPT}}], "usage": usage_of(1, 1)}
    ).encode()
    with caplog.at_level(logging.DEBUG):
        for change in ({}, {"stream": True}, {"model": PROMPT}, {PROMPT: 1}, {"stream_options": PROMPT}):
            priced.call("POST", ROUTE, {**GOOD[ROUTE], "messages": messages, **change}, key=key)
        priced.host.failure = RuntimeError(PROMPT + key)
        priced.call("POST", ROUTE, {**GOOD[ROUTE], "messages": messages}, key=key)
        priced.call("POST", f"{ROUTE}?key={key}", {**GOOD[ROUTE], "messages": messages}, key=key)
        entries(priced, id, 7)
    kept = json.dumps([[*name, record.item] for name, record in priced.records.kept.items()])
    told = "\n".join(
        r.getMessage() for r in caplog.records if r.name != "uvicorn.access"
    )  # off where it serves
    for text in (told, kept):
        assert PROMPT not in text
        assert key not in text
        assert MASTER not in text
    assert id in told
    assert id in kept


EVENTS = st.tuples(st.integers(0, 300), st.integers(0, 6), st.integers(1, 3), st.booleans(), st.booleans())


@given(EVENTS, st.integers(1, 400))
def test_a_stream_shows_what_was_asked_for(shape: tuple[int, int, int, bool, bool], size: int) -> None:
    prompt, completion, several, asked, tricky = shape
    events = streamed(prompt, completion, several=several)
    if tricky:
        events[0]["choices"][0]["delta"]["content"] = ',"usage":{"prompt_tokens":1},"choices":[]\n\ndata: '
    options = {"stream_options": {"include_usage": True}} if asked else {}
    body = json.dumps({**GOOD[ROUTE], "stream": True, "n": several, **options}).encode()
    usage = StreamedUsage(decode(ChatRequest, body), body)
    sent = decode(ChatRequest, usage.body)
    assert sent.counts_on
    assert sent.messages == decode(ChatRequest, body).messages
    framed = sse(*events, done=False)
    chunks = [b"".join(framed[at : at + size]) for at in range(0, len(framed), size)]
    shown = b"".join(usage.passed(chunk) for chunk in chunks)
    bare = [{name: value for name, value in event.items() if name != "usage"} for event in events[:-1]]
    want = [*({**event, "usage": None} for event in bare), events[-1]] if asked else bare
    assert [json.loads(part[6:]) for part in shown.split(b"\n\n") if part] == want
    assert usage.used() == Used(prompt, completion * several, 0)


class SlowRecords(MemoryRecords):
    """Counts the pages of the ledger that have been written, which takes a while each."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def put(self, collection: str, id: str, *args: Any, **more: Any) -> Any:
        if not collection.startswith("ledger/"):
            return super().put(collection, id, *args, **more)
        time.sleep(0.2)
        done = super().put(collection, id, *args, **more)
        self.written += 1
        return done


def test_where_a_process_freezes_an_answer_ends_after_its_entry_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a timer that never comes: a frozen function's."""
    monkeypatch.setattr(ledger_module, "FLUSH_SECONDS", 3600.0)
    host, records = FakeHost(), SlowRecords()
    keys = ApiKeys(records, MASTER)
    id, key = keys.create("frozen")
    app = build_app(services(host, MemoryRegistry(), records), keys=keys, config=CONFIG, freezes=True)
    with serving(app) as port:
        api = Api(port, host, MemoryRegistry(), records, keys)
        body = GOOD[ROUTE]
        for count, (sent, status) in enumerate(
            [(body, 200), ({**body, "stream": True}, 200), ({**body, "model": "nobody"}, 404)], 1
        ):
            answer = api.call("POST", ROUTE, sent, key=key)
            assert answer.status == status
            assert records.written == count
        outcomes = {(e.status, e.outcome) for e in entries(api, id, 3)}
        assert outcomes == {(200, "answered"), (404, "refused")}
