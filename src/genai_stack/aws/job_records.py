"""Jobs in the records: one record each in the collection "jobs", and a row per job in the order of submission."""

from __future__ import annotations

import builtins
import re
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from genai_stack.errors import ConditionFailed, NotFound, RequestError
from genai_stack.ports import FINAL_STATES, Job, JobRequest, JobState, ModelVersion, RecordStore

On = Literal["batch", "sagemaker"]

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""A job's id is its name in Batch, which begins with a letter or digit."""
LEASE_SECONDS = 120.0
"""Longer than any submit takes, retries and their waits included."""
COLLECTION = "jobs"
ORDER = "jobs-in-order"
"""`<created in microseconds>-<id>`, written before the job's record: a row without its record is no job."""


class JobEntry(msgspec.Struct, frozen=True):
    """A job and what only its queue needs. `batch` is Batch's id once there is one, or the SageMaker
    training job's name; until `lease` (Unix seconds)
    whoever holds it is submitting. `attempt` is when the last attempt that was seen began, `log` its stream.
    `pausing`: it is "paused" as soon as `batch` has ended. `past` are Batch's ids of the runs that pauses ended, and
    `halted` is when the last of them did, until the next run begins; `idle` is the time between such runs, in
    seconds."""

    id: str
    kind: str
    spec: dict[str, object]
    output: str
    created: float
    nodes: int = 1
    on: On = "batch"
    state: JobState = "queued"
    started: float | None = None
    finished: float | None = None
    error: str | None = None
    model: str | None = None
    on_success: ModelVersion | None = None
    batch: str | None = None
    lease: float = 0.0
    attempt: float | None = None
    log: str | None = None
    pausing: bool = False
    past: tuple[str, ...] = ()
    halted: float | None = None
    idle: float = 0.0

    @property
    def job(self) -> Job:
        return Job(
            id=self.id,
            kind=self.kind,
            state=self.state,
            created=self.created,
            spec=self.spec,
            output=self.output,
            started=self.started,
            finished=self.finished,
            error=self.error,
            model=self.model,
            idle=self.idle,
        )


def require_id(id: str) -> None:
    """Raises RequestError where it can't be a job's id."""
    if not ID.fullmatch(id):
        raise RequestError(
            "a job id has 1 to 64 letters, digits, '-' or '_', and begins with a letter or digit; choose another",
            param="id",
        )


def leased() -> float:
    """The end of a lease that begins now."""
    return time.time() + LEASE_SECONDS


def cancelled(now: JobEntry) -> JobEntry:
    if now.state in FINAL_STATES:
        return now
    return msgspec.structs.replace(now, state="cancelled", finished=time.time())


def failed(now: JobEntry, why: str) -> JobEntry:
    """Unless it runs somewhere."""
    if now.state in FINAL_STATES or now.batch:
        return now
    return msgspec.structs.replace(now, state="failed", finished=time.time(), error=why, lease=0.0)


def held_back(now: JobEntry) -> JobEntry:
    """To be paused; paused at once where it runs nowhere."""
    if now.state in FINAL_STATES or now.state == "paused":
        return now
    if now.batch is None:
        return msgspec.structs.replace(now, state="paused", lease=0.0)
    return msgspec.structs.replace(now, pausing=True)


def paused(now: JobEntry, run: str) -> JobEntry:
    """After the end of the run that Batch calls so."""
    if now.state in FINAL_STATES:
        return now
    return msgspec.structs.replace(
        now, state="paused", pausing=False, batch=None, lease=0.0, past=(*now.past, run)
    )


def went_on(now: JobEntry) -> JobEntry:
    """A paused job as it is submitted anew, by who holds the lease. One that is still on its way there stays on it."""
    if now.state != "paused":
        return now
    return msgspec.structs.replace(now, state="queued", lease=leased())


class JobRecords:
    def __init__(self, records: RecordStore) -> None:
        self._records = records

    def find(self, id: str) -> JobEntry | None:
        record = self._records.get(COLLECTION, id) if ID.fullmatch(id) else None
        return msgspec.convert(record.item, JobEntry) if record else None

    def get(self, id: str) -> JobEntry:
        """Raises NotFound."""
        entry = self.find(id)
        if entry is None:
            raise NotFound(f"no job {id[:200]!r}; list the jobs to see what there is", param="job")
        return entry

    def create(self, request: JobRequest, output: str, lease: float) -> tuple[JobEntry, bool]:
        """The job of that id, and whether it is new; a new one is the caller's to submit until `lease`."""
        entry = JobEntry(
            id=request.id,
            kind=request.kind,
            spec=request.spec,
            output=output,
            created=time.time(),
            nodes=request.nodes,
            on="sagemaker" if request.on == "sagemaker" else "batch",
            on_success=request.on_success,
            lease=lease,
        )
        self._records.put(ORDER, _row(entry), {"id": entry.id})
        try:
            self._records.put(COLLECTION, entry.id, msgspec.to_builtins(entry), if_version=0)
            return entry, True
        except ConditionFailed:
            self._records.delete(ORDER, _row(entry))
            return self.get(request.id), False

    def change(self, id: str, to: Callable[[JobEntry], JobEntry]) -> JobEntry:
        """The job after `to`, a function of what it was, applied to its newest record. Raises NotFound."""
        while True:
            record = self._records.get(COLLECTION, id)
            if record is None:
                return self.get(id)
            before = msgspec.convert(record.item, JobEntry)
            after = to(before)
            if after == before:
                return before
            try:
                self._records.put(COLLECTION, id, msgspec.to_builtins(after), if_version=record.version)
                return after
            except ConditionFailed:
                continue

    def list(self, after: str | None, limit: int) -> builtins.list[JobEntry]:
        """Newest first, those older than the job `after`; none when there is no such job."""
        row: str | None = None
        if after is not None:
            entry = self.find(after)
            if entry is None:
                return []
            row = _row(entry)
        found: builtins.list[JobEntry] = []
        while len(found) < limit:
            page = self._records.query(ORDER, after=row, limit=limit - len(found), descending=True)
            if not page:
                break
            row = page[-1].id
            entries = ((record.id, self.find(str(record.item["id"]))) for record in page)
            found += (entry for row_id, entry in entries if entry is not None and _row(entry) == row_id)
        return found


def _row(entry: JobEntry) -> str:
    return f"{int(entry.created * 1e6):020}-{entry.id}"
