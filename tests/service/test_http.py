"""What holds for every route: keys, ids, methods, limits, logs, metrics."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from genai_stack.errors import ModelWarming, Overloaded
from genai_stack.ports import ModelVersion
from genai_stack.service import keys as keys_module
from tests.service.conftest import GOOD, LIMIT, MASTER, Api, assert_problem
from tests.service.fakes import CHAT, EMBED, HANG, TUNED

ROUTE = "/v1/chat/completions"
GUARDED = [("POST", route) for route in GOOD] + [
    ("GET", "/v1/models"),
    ("GET", f"/v1/models/{CHAT}"),
    ("DELETE", f"/v1/models/{TUNED}"),
]


def exchange(api: Api, request: bytes, *, until: bytes | None = None) -> bytes:
    """Bytes out and in over a plain socket, until the other side closes."""
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        connection.sendall(request)
        got = b""
        while piece := connection.recv(65536):
            got += piece
            if until is not None and until in got:
                break
        return got


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {MASTER}x"},
        {"authorization": f"Bearer {MASTER[:-1]}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer"},
        {"authorization": ""},
        {"authorization": MASTER},
        {"authorization": f"Basic {MASTER}"},
        {"authorization": "Bearer " + "x" * 20_000},
        {"authorization": "Bearer sk-gs-0123456789abcdef-" + "A" * 43},
        {"authorization": "Bearer \xff\xfe"},
        {"x-api-key": MASTER},
    ],
    ids=lambda h: str(h)[:50],
)
def test_without_the_key_nothing_happens(api: Api, method: str, path: str, headers: dict[str, str]) -> None:
    answer = api.call(method, path, GOOD.get(path), headers, key=None)
    told = assert_problem(answer, 401)
    assert told["code"] == "invalid_api_key"
    assert told["type"] == "authentication_error"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert api.host.seen == []
    assert TUNED in api.registry.tuned


def test_a_key_in_the_url_is_no_key(api: Api) -> None:
    assert_problem(api.get(f"/v1/models?api_key={MASTER}&key={MASTER}", key=None), 401)


@pytest.mark.parametrize("second", [MASTER, "wrong"])
def test_two_authorization_headers_are_refused(api: Api, second: str) -> None:
    lines = [f"authorization: Bearer {MASTER}", f"Authorization: Bearer {second}"]
    for pair in (lines, lines[::-1]):
        head = "\r\n".join(["GET /v1/models HTTP/1.1", "host: x", *pair, "connection: close", "", ""])
        got = exchange(api, head.encode())
        assert got.startswith(b"HTTP/1.1 401 ")
        assert b'"code":"invalid_api_key"' in got


def test_the_scheme_is_case_insensitive(api: Api) -> None:
    assert api.get("/v1/models", headers={"authorization": f"bearer {MASTER}"}, key=None).status == 200


def test_made_keys_work_until_they_are_revoked(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    id, key = api.keys.create("laptop")
    other, other_key = api.keys.create("other")
    assert key.startswith("sk-gs-")
    assert [(k.id, k.name) for k in api.keys.list()] == [(id, "laptop"), (other, "other")]
    assert key not in json.dumps([record.item for record in api.records.kept.values()])
    assert api.get("/v1/models", key=key).status == 200
    reads = api.records.reads
    assert api.get("/v1/models", key=key).status == 200
    assert api.records.reads == reads
    forged = f"sk-gs-{id}-{other_key.rpartition('-')[2]:A<43}"[:66]
    assert_problem(api.get("/v1/models", key=forged), 401)
    api.keys.revoke(id)
    assert_problem(api.get("/v1/models", key=key), 401)
    assert api.get("/v1/models", key=other_key).status == 200
    # Revoked by another process: seen once the cached answer has run out.
    api.records.delete(keys_module.COLLECTION, other)
    assert api.get("/v1/models", key=other_key).status == 200
    late = time.monotonic() + keys_module.CACHE_SECONDS
    monkeypatch.setattr(keys_module.time, "monotonic", lambda: late)
    assert_problem(api.get("/v1/models", key=other_key), 401)


def test_keys_hold_256_random_bits() -> None:
    made = {keys_module.mint() for _ in range(100)}
    assert len({id for id, _ in made}) == 100
    assert all(len(key.split("-", 3)[3]) >= 43 for _, key in made)


def test_every_answer_has_an_id(api: Api) -> None:
    ids = {
        api.get("/v1/models").headers["x-request-id"],
        api.get("/nowhere").headers["x-request-id"],
        api.get("/health", key=None).headers["x-request-id"],
        api.post(ROUTE, b"{").headers["x-request-id"],
        api.post(ROUTE, {**GOOD[ROUTE], "stream": True}).headers["x-request-id"],
    }
    assert len(ids) == 5


@pytest.mark.parametrize("given", ["abc-123_X.y", "a" * 128])
def test_a_sane_request_id_comes_back(api: Api, given: str) -> None:
    assert api.get("/v1/models", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "a;b", "<script>", "é", '"', "a\tb"])
def test_any_other_request_id_is_replaced(api: Api, given: str) -> None:
    answer = api.get("/v1/models", headers={"x-request-id": given})
    assert answer.status == 200
    assert answer.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v2/models",
        "/%00",
        "/%ff",
        "//",
        "/v1/modelsx",
    ],
)
def test_unknown_paths(api: Api, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        assert_problem(api.call(method, path), 404)
    assert_problem(api.get(path, key=None), 404)


@pytest.mark.parametrize(("method", "path", "allow"), [
    ("GET", "/v1/chat/completions", "OPTIONS, POST"),
    ("PUT", "/v1/embeddings", "OPTIONS, POST"),
    ("DELETE", "/v1/models", "GET, HEAD, OPTIONS"),
    ("POST", f"/v1/models/{CHAT}", "DELETE, GET, HEAD, OPTIONS"),
    ("POST", "/health", "GET, HEAD, OPTIONS"),
    ("PATCH", "/metrics", "GET, HEAD, OPTIONS"),
])  # fmt: skip
def test_wrong_methods(api: Api, method: str, path: str, allow: str) -> None:
    answer = api.call(method, path)
    assert_problem(answer, 405)
    assert answer.headers["allow"] == allow
    options = api.call("OPTIONS", path, key=None)
    assert (options.status, options.body, options.headers["allow"]) == (200, b"", allow)


def test_head_has_the_headers_of_get_and_no_body(api: Api) -> None:
    got, head = api.get("/v1/models"), api.call("HEAD", "/v1/models")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]


def test_models(api: Api) -> None:
    listed = api.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [m["id"] for m in listed["data"]] == [CHAT, EMBED, TUNED]
    for card in listed["data"]:
        assert api.get(f"/v1/models/{card['id']}").json() == card
        assert card["object"] == "model"
        assert isinstance(card["created"], int)
    assert api.get(f"/v1/models/{TUNED.replace(':', '%3A').replace('/', '%2F')}").json()["parent"] == CHAT
    for name in ("nope", "%00", "%ff", "..%2f..%2fetc", "x" * 600, "a%0d%0ax-evil:1"):
        assert_problem(api.get(f"/v1/models/{name}"), 404)


def test_only_fine_tunes_can_be_deleted(api: Api) -> None:
    assert_problem(api.call("DELETE", f"/v1/models/{CHAT}"), 409)
    assert assert_problem(api.call("DELETE", "/v1/models/nope"), 404)["code"] == "model_not_found"
    assert api.post(ROUTE, {**GOOD[ROUTE], "model": TUNED}).status == 200
    answer = api.call("DELETE", f"/v1/models/{TUNED}")
    assert answer.json() == {"id": TUNED, "object": "model", "deleted": True}
    assert api.host.undeployed == [TUNED]
    assert_problem(api.call("DELETE", f"/v1/models/{TUNED}"), 404)
    assert_problem(api.post(ROUTE, {**GOOD[ROUTE], "model": TUNED}), 404)


def test_a_base_whose_next_version_was_tuned_is_no_fine_tune(api: Api) -> None:
    api.registry.tuned["mine"] = ModelVersion("mine", "job", job="ftjob-1", parent="mine@1", version=2)
    assert_problem(api.call("DELETE", "/v1/models/mine"), 409)
    assert api.host.undeployed == []
    api.registry.tuned["made"] = ModelVersion("made", "job", job="ftjob-1", parent="mine@1", version=1)
    assert api.call("DELETE", "/v1/models/made").json()["deleted"]


def test_the_registry_is_asked_once_in_a_while(api: Api) -> None:
    assert api.post(ROUTE, GOOD[ROUTE]).status == 200
    reads = api.registry.reads
    for _ in range(5):
        assert api.post(ROUTE, GOOD[ROUTE]).status == 200
    assert api.registry.reads <= reads + 1


def test_a_chunked_upload_over_the_limit_is_answered_before_it_ends(api: Api) -> None:
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    got = exchange(api, head.encode() + chunk * (LIMIT // 0x4000 + 1), until=b"}}")
    assert got.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in got.lower()
    assert b'"code":"request_too_large"' in got
    assert api.host.seen == []


def test_a_length_over_the_limit_is_answered_before_the_body(api: Api) -> None:
    for length in (LIMIT + 1, 10**15):
        head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {length}\r\n\r\n"
        got = exchange(api, head.encode(), until=b"}}")
        assert got.startswith(b"HTTP/1.1 413 ")


def test_an_upload_that_never_ends_is_cut_off(api: Api) -> None:
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\ntransfer-encoding: chunked\r\n\r\n"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        connection.sendall(head.encode())
        with suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < 8:
                connection.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                time.sleep(0.001)
    assert time.monotonic() - began < 5


def test_chunked_uploads_within_the_limit_work(api: Api) -> None:
    data = json.dumps(GOOD[ROUTE]).encode()
    head = (
        f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\n"
        "transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    chunks = b"".join(b"1\r\n" + data[i : i + 1] + b"\r\n" for i in range(len(data)))
    assert exchange(api, head.encode() + chunks + b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert api.host.seen[-1][2] == data


def test_a_client_that_leaves_during_its_upload(api: Api) -> None:
    head = (
        f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\ncontent-length: 500\r\n\r\n{{"
    )
    with socket.create_connection(("127.0.0.1", api.port), timeout=60) as connection:
        connection.sendall(head.encode())
        time.sleep(0.05)
    assert api.post(ROUTE, GOOD[ROUTE]).status == 200
    assert len(api.host.seen) == 1


def test_requests_on_one_connection(api: Api) -> None:
    data = json.dumps(GOOD[ROUTE]).encode()
    head = (
        f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {len(data)}\r\n"
    )
    one = head.encode()
    bad = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{{{"
    got = exchange(api, one + b"\r\n" + data + bad + one + b"connection: close\r\n\r\n" + data)
    assert re.findall(rb"HTTP/1.1 (\d+) ", got) == [b"200", b"401", b"200"]


def test_should_retry_goes_along(api: Api) -> None:
    api.host.failure = Overloaded("Full; try again.")
    api.host.failure.retry_after = 2.5
    api.host.failure.should_retry = True
    answer = api.post(ROUTE, GOOD[ROUTE])
    assert answer.headers["retry-after"] == "3"
    assert answer.headers["x-should-retry"] == "true"
    assert api.call("DELETE", f"/v1/models/{CHAT}").headers["x-should-retry"] == "false"


def test_health_and_readiness(api: Api) -> None:
    assert api.get("/health", key=None).json() == {"status": "live"}
    assert api.host.seen == []
    api.host.failure = RuntimeError("not yet")
    answer = api.get("/ready", key=None)
    assert assert_problem(answer, 503)["code"] == "not_ready"
    assert answer.headers["retry-after"] == "1"
    api.host.failure = None
    api.host.status, api.host.body = 500, b"{}"
    assert_problem(api.get("/ready", key=None), 503)
    api.host.status, api.host.body = 200, None
    api.host.seen.clear()
    for _ in range(3):
        assert api.get("/ready", key=None).json() == {"status": "ready"}
    ((model, route, body),) = api.host.seen
    assert (model, route, json.loads(body)["max_tokens"]) == (CHAT, ROUTE, 1)


def test_metrics_are_prometheus_text(api: Api) -> None:
    def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        text = api.get("/metrics", key=None).body.decode()
        return {
            (s.name, tuple(sorted(s.labels.items()))): s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }

    before = samples()
    assert api.post(ROUTE, GOOD[ROUTE]).status == 200
    assert api.post(ROUTE, b"{").status == 400
    for n in range(20):
        api.get(f"/nowhere/{n}")
        api.get(f"/v1/models/nope-{n}")
    after = samples()

    def grew(name: str, **labels: str) -> float:
        at = (name, tuple(sorted(labels.items())))
        return after.get(at, 0) - before.get(at, 0)

    assert grew("genai_stack_requests_total", route=ROUTE, status="200") == 1
    assert grew("genai_stack_requests_total", route=ROUTE, status="400") == 1
    assert grew("genai_stack_requests_total", route="unmatched", status="404") == 20
    assert grew("genai_stack_requests_total", route="/v1/models/{model:path}", status="404") == 20
    assert grew("genai_stack_tokens_total", route=ROUTE, kind="prompt") == 7
    assert grew("genai_stack_tokens_total", route=ROUTE, kind="completion") == 2
    assert grew("genai_stack_request_seconds_count", route=ROUTE) == 2
    assert grew("genai_stack_request_seconds_bucket", route=ROUTE, le="+Inf") == 2
    assert grew("genai_stack_first_byte_seconds_count", route=ROUTE) == 2
    assert after["genai_stack_requests_in_flight", ()] == 1
    assert len(after) < 500


def test_a_streams_usage_is_counted_when_it_is_told(api: Api) -> None:
    from tests.service.fakes import chat_events, sse

    body = {**GOOD[ROUTE], "stream": True, "stream_options": {"include_usage": True}}
    for size in (10_000, 50):
        whole = b"".join(sse(*chat_events(usage=True)))
        api.host.script = [whole[i : i + size] for i in range(0, len(whole), size)]
        before = tokens(api)
        assert api.post(ROUTE, body).body == whole
        assert tokens(api) - before == 2


def tokens(api: Api) -> float:
    families = text_string_to_metric_families(api.get("/metrics", key=None).body.decode())
    told = [sample for family in families for sample in family.samples if sample.name.endswith("tokens_total")]
    return sum(sample.value for sample in told if sample.labels["kind"] == "completion")


def test_logs_tell_what_happened_and_no_secret(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    canary = "prompt-canary-51c2"
    id, key = api.keys.create("canary")
    caplog.set_level(logging.DEBUG)
    chat: dict[str, Any] = {"model": CHAT, "messages": [{"role": "user", "content": canary}], "user": canary}
    for presented in (MASTER, key):
        assert api.call("POST", ROUTE, chat, key=presented).status == 200
        assert api.call("POST", ROUTE, {**chat, "stream": True}, key=presented).status == 200
    api.post(ROUTE, {**chat, canary: 1})
    api.post(ROUTE, {**chat, "tool_choice": canary})
    api.post(ROUTE, {**chat, "model": canary})
    api.post(ROUTE, b'{"messages": "' + canary.encode())
    api.get(f"/v1/models/{canary}")
    api.get(f"/{canary}?key={key}")
    api.get(f"/v1/models?key={key}", headers={"x-request-id": f"{canary} {key}"})
    api.call("GET", "/v1/models", key=f"{key}x")
    for failure in (RuntimeError(canary + key), ValueError(chat)):
        api.host.failure = failure
        assert_problem(api.post(ROUTE, chat), 500)
    api.host.failure = None
    api.host.script = [b"data: 1\n\n", RuntimeError(canary)]
    api.post(ROUTE, {**chat, "stream": True})
    api.host.script = [HANG]
    with pytest.raises(TimeoutError):
        leave(api, {**chat, "stream": True})
    api.get("/health")

    # uvicorn's access log quotes whole URLs and is off wherever this is served; pytest alone listens to it.
    records = [r for r in caplog.records if r.name != "uvicorn.access"]
    told = "\n".join(r.getMessage() + str(r.exc_info or "") + str(r.exc_text or "") for r in records)
    assert canary not in told
    assert MASTER not in told
    assert key not in told
    assert key.rpartition("-")[2] not in told
    entries = [json.loads(r.getMessage()) for r in caplog.records if r.name == "genai_stack.service"]
    assert all(set(e) >= {"time", "event", "request_id", "route"} for e in entries)
    first = next(e for e in entries if e["event"] == "request")
    assert (first["method"], first["route"], first["status"], first["model"]) == ("POST", ROUTE, 200, CHAT)
    assert first["key"] == "master"
    assert first["ms"] > 0
    assert (first["prompt_tokens"], first["completion_tokens"]) == (7, 2)
    assert id in {e.get("key") for e in entries}
    broken = [e for e in entries if e["event"] == "unexpected_error"]
    assert [e["error"] for e in broken] == ["RuntimeError", "ValueError", "RuntimeError"]
    assert all(e["frames"] for e in broken)


def leave(api: Api, body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=0.1) as connection:
        connection.sendall(head.encode() + data)
        connection.recv(10)


def test_a_request_says_how_long_it_waits_for_its_model(api: Api) -> None:
    for route, body in GOOD.items():
        for value, wait in (("120", 120.0), ("0", 0.0), (None, None)):
            headers = {} if value is None else {"x-genai-wait": value}
            assert api.post(route, body, headers).status == 200
            assert api.host.waited[-1] == wait
    for value in ("", "soon", "-1", "1.5", "901", "99999999999999999999"):
        told = assert_problem(api.post(ROUTE, GOOD[ROUTE], {"x-genai-wait": value}), 400)
        assert told["code"] == "invalid_wait"
        assert "such as 120" in told["message"]


def test_a_waiting_stream_is_kept_alive(api: Api) -> None:
    api.host.delay = 0.7
    answer = api.post(ROUTE, {**GOOD[ROUTE], "stream": True}, {"x-genai-wait": "30"})
    assert answer.status == 200
    assert answer.body.startswith(b": keep-alive\n\n")
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_a_model_that_warms_up_says_when_to_come_again(api: Api) -> None:
    api.host.failure = ModelWarming("no copy is up yet; try again")
    answer = api.post(ROUTE, GOOD[ROUTE])
    assert assert_problem(answer, 503)["code"] == "model_warming"
    assert answer.headers["retry-after"] == "15"
    assert answer.headers["x-should-retry"] == "true"
