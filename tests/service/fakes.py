"""The ports in memory, and a model host that fails in the ways real ones do."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import uvicorn

from genai_stack.errors import ConditionFailed, Conflict, LimitReached, NotFound
from genai_stack.ports import ModelVersion, Record, Reply, ReplyStream, Services

CHAT, EMBED, TUNED = "base/chat-1", "embed-1", "ft:base/chat-1:mine:0a1b"
HANG = object()
"""In a script: silence until the client leaves."""


class MemoryRecords:
    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Record] = {}
        self.expiring: dict[tuple[str, str], float] = {}
        self.lock = threading.Lock()
        self.reads = 0

    def get(self, collection: str, id: str) -> Record | None:
        self.reads += 1
        if self.expiring.get((collection, id), time.time() + 1) <= time.time():
            self.kept.pop((collection, id), None)
        return self.kept.get((collection, id))

    def put(
        self,
        collection: str,
        id: str,
        item: Mapping[str, Any],
        *,
        if_version: int | None = None,
        expires: float | None = None,
    ) -> Record:
        with self.lock:
            old = self.get(collection, id)
            version = old.version if old else 0
            if if_version not in (None, version):
                raise ConditionFailed(f"{id} is at version {version}")
            self.expiring.pop((collection, id), None)
            if expires is not None:
                self.expiring[collection, id] = expires
            record = self.kept[collection, id] = Record(id, dict(item), version + 1)
            return record

    def delete(self, collection: str, id: str, *, if_version: int | None = None) -> None:
        with self.lock:
            old = self.get(collection, id)
            if if_version not in (None, old.version if old else 0):
                raise ConditionFailed(f"{id} isn't at version {if_version}")
            self.kept.pop((collection, id), None)

    def query(
        self,
        collection: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> list[Record]:
        found = [
            record
            for (where, id), record in sorted(self.kept.items())
            if where == collection and id.startswith(prefix) and (after is None or id > after)
        ]
        return found[:limit]

    def add(self, collection: str, id: str, amount: int, *, ceiling: int | None = None) -> int:
        raise LimitReached("no counters in here")


class MemoryRegistry:
    def __init__(self) -> None:
        self.configured = {
            CHAT: ModelVersion(CHAT, "builtin"),
            EMBED: ModelVersion(EMBED, "minilm", "embedding"),
        }
        self.tuned: dict[str, ModelVersion] = {}
        self.reads = 0
        self.reset()

    def reset(self) -> None:
        self.tuned = {TUNED: ModelVersion(TUNED, "job", base=CHAT, job="ftjob-0a1b", created=1_700_000_000.0)}

    def register(self, version: ModelVersion) -> ModelVersion:
        self.tuned[version.name] = version
        return version

    def get(self, name: str) -> ModelVersion:
        self.reads += 1
        found = self.tuned.get(name) or self.configured.get(name)
        if found is None:
            raise NotFound(
                "There is no such model; GET /v1/models lists them.", code="model_not_found", param="model"
            )
        return found

    def list(self) -> list[ModelVersion]:
        return [*self.configured.values(), *self.tuned.values()]

    def delete(self, name: str) -> None:
        if name in self.configured:
            raise Conflict(f"{name} is configured")
        if self.tuned.pop(name, None) is None:
            raise NotFound("gone", code="model_not_found")


def sse(*events: Any, done: bool = True) -> list[Any]:
    framed = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]
    return [*framed, b"data: [DONE]\n\n"] if done else framed


def chat_events(text: str = "Hello there", *, usage: bool = False) -> list[dict[str, Any]]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": CHAT}
    events: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]}
    ]
    events += [
        {**base, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
        for word in text.split(" ")
    ]
    events.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        counted = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
        events.append({**base, "choices": [], "usage": counted})
    return events


ANSWERS: dict[str, Any] = {
    "/v1/chat/completions": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": CHAT,
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
    },
    "/v1/completions": {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": CHAT,
        "choices": [{"index": 0, "text": "Hello", "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    },
    "/v1/embeddings": {
        "object": "list",
        "model": EMBED,
        "data": [{"index": 0, "object": "embedding", "embedding": [0.5, -0.25]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    },
    "/v1/tokenize": {"count": 2, "max_model_len": 512, "tokens": [1, 2]},
    "/v1/detokenize": {"prompt": "Hello"},
    "/v1/anatomy": {
        "object": "anatomy",
        "model": CHAT,
        "shape": {"kind": "decoder", "layers": 1, "heads": 1, "width": 2, "vocabulary": 9},
        "tokens": [
            {"position": 0, "id": 7, "token": "Hi", "text": "Hi", "bytes": [72, 105], "start": 0, "end": 2}
        ],
        "skipped": [],
        "embeddings": [{"position": 0, "norm": 1.0, "point": [0.0, 0.0], "neighbours": []}],
        "attention": [{"layer": 0, "head": None, "rows": [{"position": 0, "weights": [1.0], "rest": 0.0}]}],
        "states": [
            {
                "layer": 0,
                "position": 0,
                "norm": 2.0,
                "moved": 1.0,
                "similarity_to_start": 0.5,
                "point": [0.0, 0.0],
                "nearest": [{"id": 8, "token": "Ho", "similarity": 0.25}],
                "towards": [],
                "compared": None,
                "vector": None,
            }
        ],
        "output": [
            {
                "position": 0,
                "top": [{"id": 8, "token": "Ho", "logit": 3.5, "probability": 0.75}],
                "rest": 0.25,
                "entropy": 0.8,
                "next": None,
            }
        ],
        "pooled": None,
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    },
}


class _Stream:
    def __init__(self, host: FakeHost, script: Iterable[Any]) -> None:
        self.status, self.content_type = host.status, host.content_type
        self._host, self._script = host, script

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self._script:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, Exception):
                raise step
            elif step is HANG:
                await asyncio.Event().wait()
            else:
                await asyncio.sleep(step)


class FakeHost:
    """Answers from ANSWERS unless told otherwise.

    `status` and `body` are the container's answer; `failure` is raised before there is one; `delay` seconds come
    first; `script` is a stream: bytes, seconds of silence, an exception to break with, or HANG. `seen` holds every
    call; `left` counts calls that were given up before they ended.
    """

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.reset()

    def reset(self) -> None:
        self.status = 200
        self.content_type = "text/event-stream; charset=utf-8"
        self.body: bytes | None = None
        self.failure: Exception | None = None
        self.delay = 0.0
        self.script: Iterable[Any] = sse(*chat_events())
        self.seen: list[tuple[str, str, bytes]] = []
        self.waited: list[float | None] = []
        self.undeployed: list[str] = []
        self.left = threading.Event()

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        self.seen.append((model, route, body))
        self.waited.append(wait)
        try:
            await asyncio.sleep(0 if route == "/v1/tokenize" else self.delay)  # which no engine is needed for
        except asyncio.CancelledError:
            self.left.set()
            raise
        if self.failure is not None:
            raise self.failure
        answer = self.body if self.body is not None else json.dumps(ANSWERS[route]).encode()
        return Reply(self.status, "application/json", answer)

    @asynccontextmanager
    async def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AsyncIterator[ReplyStream]:
        self.seen.append((model, route, body))
        self.waited.append(wait)
        try:
            await asyncio.sleep(self.delay)
            if self.failure is not None:
                raise self.failure
            yield cast(ReplyStream, _Stream(self, self.script))
        except (asyncio.CancelledError, GeneratorExit):
            self.left.set()
            raise

    async def deploy(self, model: str) -> None:
        pass

    async def undeploy(self, model: str) -> None:
        self.undeployed.append(model)

    async def live(self) -> list[str]:
        return [CHAT]

    async def close(self) -> None:
        self.closed.set()


def services(host: FakeHost, registry: MemoryRegistry, records: MemoryRecords) -> Services:
    nothing = cast(Any, None)
    return Services(objects=nothing, records=records, jobs=nothing, registry=registry, models=host)


@contextmanager
def serving(app: Any, *, grace: int = 2) -> Iterator[int]:
    """The application under a real uvicorn on loopback; yields the port. What still runs `grace` seconds after the
    end is cancelled."""
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=grace
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "uvicorn did not start"
            thread.join(0.005)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
