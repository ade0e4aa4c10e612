"""Streams through a real server: bytes as they came, and every way in which a stream can go wrong."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from genai_stack.errors import ContextLengthExceeded, EngineFailed, NotFound, Overloaded
from genai_stack.service import ApiKeys, build_app
from genai_stack.service.exchange import Exchange
from tests.service.conftest import GOOD, MASTER, Api, assert_problem
from tests.service.fakes import (
    CHAT,
    HANG,
    FakeHost,
    MemoryRecords,
    MemoryRegistry,
    chat_events,
    services,
    serving,
    sse,
)

ROUTE = "/v1/chat/completions"
BODY = {**GOOD[ROUTE], "stream": True}
DONE = b"data: [DONE]\n\n"


def events(body: bytes) -> list[Any]:
    """Every data event, decoded; the comments are left out."""
    found = [part for part in body.split(b"\n\n") if part.startswith(b"data: ")]
    return [json.loads(part[6:]) if part != b"data: [DONE]" else "[DONE]" for part in found]


def test_bytes_pass_as_they_came(api: Api) -> None:
    answer = api.post(ROUTE, BODY)
    assert answer.status == 200
    assert answer.body == b"".join(api.host.script)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-request-id"]
    assert int(answer.headers["openai-processing-ms"]) >= 0
    asked = b',"stream_options":{"include_usage":true,"continuous_usage_stats":true}}'
    assert api.host.seen == [(CHAT, ROUTE, json.dumps(BODY).encode()[:-1] + asked)]


def test_completions_stream_too(api: Api) -> None:
    answer = api.post("/v1/completions", {**GOOD["/v1/completions"], "stream": True})
    assert answer.body.endswith(DONE)


def test_frames_may_be_cut_anywhere(api: Api) -> None:
    whole = b"".join(sse(*chat_events(usage=True)))
    for size in (1, 7, 100):
        api.host.script = [whole[i : i + size] for i in range(0, len(whole), size)]
        asked = {**BODY, "stream_options": {"include_usage": True}}
        assert api.post(ROUTE, asked).body == whole
        assert api.post(ROUTE, BODY).body == b"".join(sse(*chat_events()))


def test_crlf_framing_is_a_complete_stream(api: Api) -> None:
    api.host.script = [b'data: {"a":1}\r\n\r\n', b"data: [DONE]\r\n\r\n"]
    assert api.post(ROUTE, BODY).body == b"".join(api.host.script)


def test_chunks_arrive_one_by_one(api: Api) -> None:
    api.host.script = [b"data: 1\n\n", HANG]
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.request("POST", ROUTE, json.dumps(BODY), {"authorization": f"Bearer {MASTER}"})
    response = connection.getresponse()
    assert response.read(9) == b"data: 1\n\n"
    connection.close()


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (Overloaded("The queue is full; try again in a moment."), 429, "rate_limit_exceeded"),
        (NotFound("No such model.", code="model_not_found"), 404, "model_not_found"),
        (ContextLengthExceeded("Too long; shorten it."), 400, "context_length_exceeded"),
        (EngineFailed("No server answers."), 500, "engine_failed"),
        (RuntimeError("with a prompt in it"), 500, "internal_error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_an_error_before_the_first_byte_is_an_ordinary_answer(
    api: Api, failure: Exception, status: int, code: str, stream: bool
) -> None:
    api.host.failure = failure
    answer = api.post(ROUTE, {**BODY, "stream": stream})
    told = assert_problem(answer, status)
    assert told["code"] == code
    assert "prompt in it" not in told["message"]
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


CONTAINER = {"message": "m", "type": "t", "param": "p", "code": "c"}
ODD: list[tuple[int, bytes, int, dict[str, Any]]] = [
    (400, json.dumps({"error": CONTAINER}).encode(), 400, CONTAINER),
    (429, json.dumps({"error": CONTAINER}).encode(), 429, CONTAINER),
    (400, json.dumps({"error": {"message": "m", "code": 400}}).encode(), 400, {"message": "m", "code": "400"}),
    (503, b"upstream connect error", 503, {"type": "server_error"}),
    (500, b"", 500, {"type": "server_error"}),
    (422, b'{"detail": [{"loc": ["body"]}]}', 422, {"type": "invalid_request_error"}),
    (401, b'{"error": {"message": "bad AWS credentials"}}', 500, {"code": "engine_failed"}),
    (403, b"Forbidden", 500, {"code": "engine_failed"}),
    (302, b"", 500, {"code": "engine_failed"}),
    (204, b"", 500, {"code": "engine_failed"}),
    (500, b"\xff\xfe" + b"[" * 5000, 500, {"type": "server_error"}),
]


@pytest.mark.parametrize(("status", "body", "becomes", "want"), ODD)
@pytest.mark.parametrize("stream", [True, False])
def test_a_containers_own_error_reaches_the_client_in_form(
    api: Api, status: int, body: bytes, becomes: int, want: dict[str, Any], stream: bool
) -> None:
    api.host.status, api.host.body, api.host.script = status, body, [body] if body else []
    told = assert_problem(api.post(ROUTE, {**BODY, "stream": stream}), becomes)
    assert told.items() >= want.items()


@pytest.mark.parametrize(
    "script",
    [
        sse(*chat_events(), done=False),
        [*sse(*chat_events(), done=False), b"data: [DO"],
        [*sse(*chat_events(), done=False), b'data: {"id": "cut in the mid'],
        [*sse(chat_events()[0], done=False), EngineFailed("The engine died; send the request again.")],
        [*sse(chat_events()[0], done=False), ConnectionResetError("secret prompt")],
        [*sse(chat_events()[0], done=False), 0.4, EngineFailed("The engine died; send the request again.")],
    ],
    ids=[
        "ends early",
        "ends in DONE",
        "cut in a frame",
        "engine dies",
        "connection lost",
        "dies after a silence",
    ],
)
def test_a_stream_that_breaks_ends_with_an_error_event(api: Api, script: list[Any]) -> None:
    api.host.script = script
    answer = api.post(ROUTE, BODY)
    assert answer.status == 200
    assert DONE not in answer.body
    *_, first, last = events(answer.body)
    assert first["object"] == "chat.completion.chunk"
    told = last["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert told["type"] == "server_error"
    assert "secret" not in told["message"]


def test_a_last_event_without_its_blank_line_counts(api: Api) -> None:
    whole = b"".join(sse(*chat_events()))
    for cut in (1, 2):
        api.host.script = [whole[:-20], whole[-20:-cut]]
        assert api.post(ROUTE, BODY).body == whole


def test_an_error_event_of_the_model_server_stands_alone(api: Api) -> None:
    problem = {"error": {"message": "The engine died.", "type": "server_error", "param": None, "code": None}}
    api.host.script = [*sse(chat_events()[0], done=False), *sse(problem, done=False)]
    assert api.post(ROUTE, BODY).body == b"".join(api.host.script)


def test_no_done_follows_an_error_event_even_if_the_model_server_sends_one(api: Api) -> None:
    problem = {"error": {"message": "The engine died.", "type": "server_error", "param": None, "code": None}}
    told = [*sse(chat_events()[0], done=False), *sse(problem, done=False)]
    for script in ([*told, DONE], [*told[:-1], told[-1] + DONE]):
        api.host.script = script
        assert api.post(ROUTE, BODY).body == b"".join(told)


def test_no_done_goes_out_when_the_stream_breaks_right_after_it(api: Api) -> None:
    api.host.script = [*sse(*chat_events()), ConnectionResetError("x")]
    body = api.post(ROUTE, BODY).body
    assert DONE not in body
    assert events(body)[-1]["error"]["code"] == "engine_failed"


def test_text_that_looks_like_an_end_is_no_end(api: Api) -> None:
    api.host.script = sse(*chat_events('data: [DONE] data: {"error": 1}'), done=False)
    assert events(api.post(ROUTE, BODY).body)[-1]["error"]["type"] == "server_error"


def test_a_stream_of_nothing_is_an_ordinary_error(api: Api) -> None:
    api.host.script = []
    assert_problem(api.post(ROUTE, BODY), 500)
    api.host.script = [b"", b""]
    assert_problem(api.post(ROUTE, BODY), 500)


def test_silence_is_filled_with_comments(api: Api) -> None:
    first, *rest = sse(*chat_events())
    api.host.script = [0.75, first, 0.75, *rest]
    body = api.post(ROUTE, BODY).body
    assert 3 <= body.count(b": keep-alive\n\n") <= 4
    assert body.replace(b": keep-alive\n\n", b"") == b"".join([first, *rest])


def test_comments_never_fall_inside_an_event(api: Api) -> None:
    first, *rest = sse(*chat_events())
    api.host.script = [first[:20], 0.8, first[20:], *rest]
    body = api.post(ROUTE, BODY).body
    assert body.replace(b": keep-alive\n\n", b"") == b"".join([first, *rest])
    assert first in body


def test_silence_before_the_model_even_answers(api: Api) -> None:
    api.host.delay = 0.5
    assert api.post(ROUTE, BODY).body == b": keep-alive\n\n" + b"".join(api.host.script)
    api.host.failure = Overloaded("The queue is full; try again in a moment.")
    answer = api.post(ROUTE, BODY)
    assert answer.status == 200
    assert answer.body.startswith(b": keep-alive\n\n")
    assert events(answer.body)[-1]["error"]["code"] == "rate_limit_exceeded"


def test_no_comment_goes_into_a_busy_stream(api: Api) -> None:
    parts = sse(*chat_events("a b c d e f g h"))
    api.host.script = [step for part in parts for step in (0.1, part)]
    assert b"keep-alive" not in api.post(ROUTE, BODY).body


@pytest.fixture
def raw(api: Api) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        yield connection


def send(connection: socket.socket, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {len(data)}\r\n\r\n"
    connection.sendall(head.encode() + data)


@pytest.mark.parametrize("script", [[HANG], [b"data: 1\n\n", HANG]], ids=["before a byte", "midway"])
def test_a_client_that_leaves_a_stream_cancels_the_model(
    api: Api, raw: socket.socket, script: list[Any]
) -> None:
    api.host.script = script
    send(raw, BODY)
    if len(script) > 1:
        assert b"data: 1" in raw.recv(4096) + raw.recv(4096)
    else:
        wait_for(lambda: api.host.seen)
    raw.close()
    assert api.host.left.wait(2)
    assert_leaves_no_trace(api)


def test_a_client_that_leaves_while_a_stream_flows(api: Api, raw: socket.socket) -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield b"data: " + b"x" * 1000 + b"\n\n"
            yield 0

    api.host.script = endless()
    send(raw, BODY)
    assert raw.recv(4096)
    raw.close()
    assert api.host.left.wait(2)
    assert_leaves_no_trace(api)


def test_a_client_that_stops_reading_slows_the_model_down(api: Api, raw: socket.socket) -> None:
    made = 0

    def endless() -> Iterator[Any]:
        nonlocal made
        while True:
            made += 1
            yield b"data: " + b"x" * 100_000 + b"\n\n"
            yield 0

    api.host.script = endless()
    send(raw, BODY)
    assert raw.recv(100)
    time.sleep(0.3)
    before = made
    time.sleep(0.5)
    assert made == before
    assert made < 1000
    raw.close()
    assert api.host.left.wait(2)


def test_a_client_that_leaves_an_ordinary_request_cancels_the_model(api: Api, raw: socket.socket) -> None:
    api.host.delay = 30
    send(raw, {**BODY, "stream": False})
    wait_for(lambda: api.host.seen)
    raw.close()
    assert api.host.left.wait(2)
    assert_leaves_no_trace(api)


def test_a_server_that_stops_says_so(api: Api) -> None:
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    host.script, host.delay = [b"data: 1\n\n", HANG], 0
    app = build_app(services(host, registry, records), keys=ApiKeys(records, MASTER))
    answers: dict[str, bytes] = {}

    def ask(name: str, port: int, body: dict[str, Any]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", ROUTE, json.dumps(body), {"authorization": f"Bearer {MASTER}"})
        answers[name] = connection.getresponse().read()
        connection.close()

    with serving(app, grace=1) as port:
        streamed = threading.Thread(target=ask, args=("stream", port, BODY))
        streamed.start()
        wait_for(lambda: host.seen)
        host.delay = 60
        whole = threading.Thread(target=ask, args=("whole", port, {**BODY, "stream": False}))
        whole.start()
        wait_for(lambda: len(host.seen) == 2)
    streamed.join(5)
    whole.join(5)
    assert events(answers["stream"].partition(b"data: 1\n\n")[2])[0]["error"]["code"] == "stopping"
    assert json.loads(answers["whole"])["error"]["code"] == "stopping"
    assert host.left.is_set()
    assert host.closed.is_set()


def wait_for(condition: Any, seconds: float = 2) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def assert_leaves_no_trace(api: Api) -> None:
    """The next request works, and nothing stays in flight but the one that asks."""
    api.host.reset()
    assert api.post(ROUTE, BODY).body.endswith(DONE)
    assert "genai_stack_requests_in_flight 1\n" in api.get("/metrics").body.decode()


async def test_the_first_byte_is_the_first() -> None:
    async def send(message: Any) -> None:
        pass

    exchange = Exchange({"method": "POST", "headers": [], "query_string": b""}, None, send)  # type: ignore[arg-type]
    await exchange.open_stream(b"text/event-stream", first=False)
    assert exchange.first_byte is None
    await exchange.open_stream(b"text/event-stream")
    first = exchange.first_byte
    assert first is not None
    await exchange.open_stream(b"text/event-stream")
    assert exchange.first_byte == first
