"""One API over fakes, served by uvicorn, per test module; its host and models are as new for every test."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from genai_stack.config import ModelConfig, ServiceConfig, StackConfig
from genai_stack.service import ApiKeys, build_app
from tests.service.fakes import CHAT, EMBED, FakeHost, MemoryRecords, MemoryRegistry, services, serving

MASTER = "sk-master-canary-7f3a9b"
LIMIT = 64 * 1024
CONFIG = StackConfig(
    service=ServiceConfig(max_body_bytes=LIMIT),
    models=(ModelConfig(CHAT, "builtin"), ModelConfig(EMBED, "minilm", "embedding")),
)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Api(NamedTuple):
    port: int
    host: FakeHost
    registry: MemoryRegistry
    records: MemoryRecords
    keys: ApiKeys

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        key: str | None = MASTER,
    ) -> Answer:
        """`body`: bytes go as they are, anything else as JSON. No key is sent when `key` is None."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {key}"} if key is not None else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, data, {**sent, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        return self.call("POST", path, body, headers)

    def get(self, path: str, **options: Any) -> Answer:
        return self.call("GET", path, **options)


@pytest.fixture(scope="module")
def running() -> Iterator[Api]:
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    app = build_app(services(host, registry, records), keys=keys, config=CONFIG, keep_alive=0.3)
    with serving(app) as port:
        yield Api(port, host, registry, records, keys)
    assert host.closed.is_set(), "the host is closed when the server stops"


@pytest.fixture
def api(running: Api) -> Api:
    running.host.reset()
    running.registry.reset()
    return running


GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": CHAT, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/completions": {"model": CHAT, "prompt": "Once"},
    "/v1/embeddings": {"model": EMBED, "input": "Hi"},
    "/v1/tokenize": {"model": CHAT, "prompt": "Hi"},
    "/v1/detokenize": {"model": CHAT, "tokens": [1, 2]},
    "/v1/anatomy": {"model": CHAT, "text": "Hi"},
}


def assert_problem(answer: Answer, status: int | None = None, *, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error body with its four keys and a request id; returns the error."""
    assert 400 <= answer.status < 500 if status is None else answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    told: dict[str, Any] = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(told) == {"message", "type", "param", "code"}
    assert isinstance(told["message"], str)
    assert told["message"]
    assert "Traceback" not in told["message"]
    if param is not None:
        assert told["param"] == param
    return told
