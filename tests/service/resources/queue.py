"""A job queue in memory whose jobs go where a test pushes them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from genai_stack.errors import NotFound, ObjectNotFound
from genai_stack.ports import FINAL_STATES, Job, JobRequest, JobState


class HandQueue:
    """`requests` are what was submitted, by id; `submits` counts the calls. `failure`, once, is raised by a submit."""

    def __init__(self) -> None:
        self.requests: dict[str, JobRequest] = {}
        self.jobs: dict[str, Job] = {}
        self.left: dict[str, dict[str, bytes]] = {}
        self.told: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
        self.submits = 0
        self.failure: Exception | None = None

    def submit(self, request: JobRequest) -> Job:
        self.submits += 1
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        if request.id not in self.jobs:
            self.requests[request.id] = request
            self.told[request.id] = [], []
            self.left[request.id] = {}
            self.jobs[request.id] = Job(request.id, request.kind, "queued", time.time(), request.spec, "out")
        return self.jobs[request.id]

    def get(self, id: str) -> Job:
        if id not in self.jobs:
            raise NotFound(f"no job {id}")
        return self.jobs[id]

    def list(self, *, after: str | None = None, limit: int = 100) -> list[Job]:
        return list(self.jobs.values())[::-1][:limit]

    def cancel(self, id: str) -> Job:
        if self.get(id).state not in FINAL_STATES:
            self.jobs[id] = msgspec.structs.replace(self.jobs[id], state="cancelled", finished=time.time())
        return self.jobs[id]

    def pause(self, id: str) -> Job:
        if self.get(id).state not in FINAL_STATES:
            self.jobs[id] = msgspec.structs.replace(self.jobs[id], state="paused")
        return self.jobs[id]

    def resume(self, id: str) -> Job:
        if self.get(id).state == "paused":
            self.jobs[id] = msgspec.structs.replace(self.jobs[id], state="queued")
        return self.jobs[id]

    def events(self, id: str, *, after: int = 0) -> Any:
        self.get(id)
        return self.told[id][0][after:]

    def metrics(self, id: str, *, after: int = 0) -> Any:
        self.get(id)
        return self.told[id][1][after:]

    def log(self, id: str) -> str:
        return ""

    def output(self, id: str, name: str) -> Iterator[bytes]:
        self.get(id)
        if name not in self.left[id]:
            raise ObjectNotFound(f"no {name}")
        return iter((self.left[id][name],))

    def move(self, id: str, state: JobState, **more: Any) -> None:
        """A state forward; one that has ended stays as it is, as in every queue, and so does one that is paused."""
        if self.jobs[id].state in (*FINAL_STATES, "paused"):
            return
        ended = {"finished": time.time()} if state in FINAL_STATES else {"started": time.time()}
        self.jobs[id] = msgspec.structs.replace(self.jobs[id], state=state, **{**ended, **more})
