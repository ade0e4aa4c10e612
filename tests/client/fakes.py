"""Ports for the client's tests: a queue that runs by script, and a host that answers from a table."""

from __future__ import annotations

import builtins
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from genai_stack.errors import NotFound
from genai_stack.local.objects import DirectoryObjects
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import FINAL_STATES, Job, JobRequest, ModelRegistry, Reply, Services
from genai_stack.registry import RecordedModels


class ScriptedJobs:
    """Each look at an unfinished job moves it on by one state of `script`."""

    def __init__(self, registry: ModelRegistry, *script: str) -> None:
        self.script = script or ("running", "succeeded")
        self.registry = registry
        self.requests: dict[str, JobRequest] = {}
        self.kept: dict[str, Job] = {}
        self.looks: dict[str, int] = {}

    def submit(self, request: JobRequest) -> Job:
        if request.id not in self.kept:
            self.requests[request.id] = request
            self.looks[request.id] = 0
            self.kept[request.id] = Job(request.id, request.kind, "queued", time.time(), request.spec, "out")
        return self.kept[request.id]

    def get(self, id: str) -> Job:
        if id not in self.kept:
            raise NotFound(f"no job {id}")
        job = self.kept[id]
        if job.state not in FINAL_STATES:
            state = self.script[min(self.looks[id], len(self.script) - 1)]
            self.looks[id] += 1
            self.finish(id, state)
        return self.kept[id]

    def finish(self, id: str, state: str) -> None:
        model, error = None, "it broke" if state == "failed" else None
        if state == "succeeded" and (version := self.requests[id].on_success):
            model = self.registry.register(msgspec.structs.replace(version, source="out")).name
        self.kept[id] = msgspec.structs.replace(self.kept[id], state=state, model=model, error=error)

    def list(self, *, after: str | None = None, limit: int = 100) -> builtins.list[Job]:
        return builtins.list(reversed(self.kept.values()))[:limit]

    def cancel(self, id: str) -> Job:
        self.finish(id, "cancelled")
        return self.kept[id]

    def pause(self, id: str) -> Job:
        self.kept[id] = msgspec.structs.replace(self.kept[id], state="paused")
        return self.kept[id]

    def resume(self, id: str) -> Job:
        self.kept[id] = msgspec.structs.replace(self.kept[id], state="queued")
        return self.kept[id]

    def events(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        found = [
            {"type": "started", "level": "info", "message": "2 steps", "total_steps": 2},
            {"type": "cut", "level": "warn", "message": "1 example is [cut]"},
        ]
        return found[after:]

    def metrics(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        found: builtins.list[dict[str, Any]] = [
            {"step": 1, "total_steps": 2, "loss": 2.0, "tokens_per_second": 10.0},
            {"step": 1, "total_steps": 2, "validation_loss": 2.0},
            {"step": 2, "total_steps": 2, "loss": 1.0, "tokens_per_second": 11.0},
        ]
        return found[after:]

    def log(self, id: str) -> str:
        return "printed\n"


class Chunks:
    def __init__(self, status: int, parts: list[bytes]) -> None:
        self.status, self.content_type, self._parts = status, "text/event-stream", parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


class TableHost:
    """`reply` answers everything; `parts` stream; what was asked is in `asked`."""

    def __init__(self) -> None:
        self.reply = Reply(200, "application/json", b'{"ok": true}')
        self.status, self.parts = 200, [b'data: {"n": 1}\n\ndata: {"n"', b": 2}\n\n: beat\n\ndata: [DONE]\n\n"]
        self.asked: list[tuple[str, str, Any]] = []
        self.up: list[str] = []
        self.left = 0
        self.closed = 0

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        self.asked.append((model, route, msgspec.json.decode(body)))
        return self.reply

    @asynccontextmanager
    async def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AsyncIterator[Chunks]:
        self.asked.append((model, route, msgspec.json.decode(body)))
        try:
            yield Chunks(self.status, self.parts)
        finally:
            self.left += 1

    async def deploy(self, model: str) -> None:
        self.up.append(model)

    async def undeploy(self, model: str) -> None:
        self.up.remove(model)

    async def live(self) -> list[str]:
        return self.up

    async def close(self) -> None:
        self.closed += 1


def make_services(home: Path, *script: str) -> Services:
    home.mkdir(parents=True, exist_ok=True)
    records = SqliteRecords(home / "records.sqlite")
    registry = RecordedModels(records)
    return Services(
        objects=DirectoryObjects(home / "objects"),
        records=records,
        jobs=ScriptedJobs(registry, *script),
        registry=registry,
        models=TableHost(),
    )
