"""How a job gets on: what Batch says about it, brought into its record.

A record only ever moves forward (queued → running → succeeded, failed or cancelled), but for a pause: the end of a
run that was paused makes the job paused, and what is heard of that run from then on counts no more. Observations may
come late, twice and in any order, from an event as well as from a look at Batch: all orders end in the same record.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from genai_stack import json_lines, names
from genai_stack.errors import Conflict, ObjectNotFound
from genai_stack.ports import FINAL_STATES, JobState, ModelRegistry, ObjectStore, RecordStore
from genai_stack.registry import forget_made, register_made

from .job_records import JobEntry, JobRecords, paused
from .observed import Observation

RANK: dict[JobState, int] = {
    "queued": 0, "running": 1, "paused": 2, "succeeded": 3, "failed": 3, "cancelled": 3,
}  # fmt: skip
RESULTS = ("adapter", "model")
EVENTS, METRICS, MANIFEST = "events.jsonl", "metrics.jsonl", "manifest.json"
CLOCKS = 60.0
"""Seconds by which the clocks of a node and of Batch may disagree."""


class JobProgress:
    def __init__(self, records: RecordStore, objects: ObjectStore, registry: ModelRegistry) -> None:
        self.jobs = JobRecords(records)
        self._objects, self._registry = objects, registry
        self._read: dict[str, tuple[str, int, int]] = {}
        """By file, of the job read last: its id, and where in bytes and in lines reading goes on."""

    def saw(self, seen: Observation) -> JobEntry | None:
        """The job after `seen`; None when it is no job of ours. A success registers the job's model before the record
        says so: who sees it can call it."""
        entry = self.jobs.find(seen.name)
        if entry is None or entry.batch not in (None, seen.batch) or seen.batch in entry.past:
            return None
        if seen.state == "paused":
            return self.jobs.change(seen.name, lambda now: _held(now, seen))
        if entry.state in FINAL_STATES or seen.state not in FINAL_STATES:
            return self.jobs.change(seen.name, lambda now: _later(now, seen))
        end = self._ended(entry, seen)
        after = self.jobs.change(seen.name, lambda now: _later(now, end, end.model))
        if end.model and after.state == "cancelled":
            forget_made(self._registry, end.model)
        return after

    def forgotten(self, entry: JobEntry) -> JobEntry | None:
        """The job after Batch, which keeps an ended job for some days, doesn't know it any more."""
        state: JobState = "succeeded" if self._has(entry, MANIFEST) else "failed"
        reason = "Batch doesn't know this job any more, and it left no manifest.json; submit it under a new id"
        now = time.time()
        return self.saw(Observation(entry.id, entry.batch or "", state, finished=now, reason=reason))

    def lines(self, id: str, file: str, after: int = 0) -> list[dict[str, Any]]:
        """The JSON lines a job has written so far to `file`, from index `after` on. Following a job costs what is new
        and no more."""
        key = f"{names.job_output(id)}/{file}"
        job, at, count = self._read.get(file, ("", 0, 0))
        if job != id or count > after:
            at = count = 0
        try:
            data = b"".join(self._objects.read(key, max(at - 1, 0)))
            if at and not data.startswith(b"\n"):  # it isn't the file that it was
                at = count = 0
                data = b"".join(self._objects.read(key))
        except ObjectNotFound:
            return []
        data = data[1:] if at else data
        found = json_lines.parse(data)
        self._read[file] = id, at + data.rfind(b"\n") + 1, count + len(found)
        return found[after - count :]

    def _ended(self, entry: JobEntry, seen: Observation) -> _End:
        if seen.state == "failed":
            return _End.of(seen, error=self._last_words(entry.id, seen) or seen.reason)
        if seen.state == "cancelled":
            return _End.of(seen)
        if not self._has(entry, MANIFEST):
            return _End.of(seen, error=f"the program ended without writing {MANIFEST}; read the job's log")
        if entry.on_success is None:
            return _End.of(seen)
        result = next((name for name in RESULTS if self._has(entry, f"{name}/")), None)
        if result is None:
            return _End.of(seen, error=f"the program left neither adapter nor model in {entry.output}")
        version = msgspec.structs.replace(entry.on_success, source=f"{entry.output}/{result}", job=entry.id)
        try:
            return _End.of(seen, model=register_made(self._registry, version).name)
        except Conflict as error:
            return _End.of(seen, error=error.message)

    def _has(self, entry: JobEntry, name: str) -> bool:
        return bool(self._objects.list(f"{names.job_output(entry.id)}/{name}", limit=1))

    def _last_words(self, id: str, seen: Observation) -> str | None:
        """The last error the program reported in its last attempt."""
        since = (seen.attempt or 0) - CLOCKS
        for event in reversed(self.lines(id, EVENTS)):
            if event.get("level") == "error" and event.get("message"):
                at = event.get("time")
                return str(event["message"]) if not isinstance(at, int | float) or at >= since else None
        return None


class _End(Observation, frozen=True):
    """An ending, and what became of it here."""

    model: str | None = None

    @classmethod
    def of(cls, seen: Observation, *, error: str | None = None, model: str | None = None) -> _End:
        state: JobState = "failed" if error else seen.state
        told = {field: getattr(seen, field) for field in seen.__struct_fields__}
        return cls(**{**told, "state": state, "reason": error, "model": model})


def _held(now: JobEntry, seen: Observation) -> JobEntry:
    if seen.batch in now.past or now.batch not in (None, seen.batch):
        return now
    after = _later(now, msgspec.structs.replace(seen, state="queued"))
    halted = after.halted if seen.started is None else seen.finished  # one that never began ends no run
    return msgspec.structs.replace(paused(after, seen.batch), halted=halted)


def _later(now: JobEntry, seen: Observation, model: str | None = None) -> JobEntry:
    """The record after an observation. Whichever order they come in, the result is the same."""
    if seen.batch in now.past:
        return now
    waited, halted = 0.0, now.halted
    if halted is not None and seen.started is not None:
        waited, halted = max(seen.started - halted, 0.0), None
    latest = max(((now.attempt or 0.0, now.log or ""), (seen.attempt or 0.0, seen.log or "")))
    after = msgspec.structs.replace(
        now,
        batch=now.batch or seen.batch,
        started=min((at for at in (now.started, seen.started) if at is not None), default=None),
        attempt=latest[0] or None,
        log=latest[1] or None,
        halted=halted,
        idle=now.idle + waited,
    )
    if RANK[seen.state] <= RANK[now.state]:
        return after
    if seen.state not in FINAL_STATES:
        return msgspec.structs.replace(after, state=seen.state)
    return msgspec.structs.replace(
        after, state=seen.state, finished=seen.finished or time.time(), error=seen.reason, model=model
    )
