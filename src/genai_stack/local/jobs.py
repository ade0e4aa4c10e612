"""What is known about jobs: a table beside the records, in the order of submission.

A state only ever moves forward (queued → running → succeeded, failed or cancelled), but for a pause, which leads back
to queued by a resume. Each change is one conditional UPDATE, so of two processes that disagree the first one wins and
the other one learns of it.
"""

from __future__ import annotations

import builtins
import json
import re
import time
from pathlib import Path

import msgspec

from genai_stack.errors import NotFound
from genai_stack.ports import Job, JobRequest, JobState, ModelVersion

from .home import Home
from .sqlite import Database

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    spec TEXT NOT NULL,
    on_success BLOB,
    state TEXT NOT NULL DEFAULT 'queued',
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    error TEXT,
    model TEXT,
    pid INTEGER,
    starts INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    halted REAL,
    idle REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS unfinished_jobs ON jobs (seq) WHERE state IN ('queued', 'running');
"""
COLUMNS = (
    "id, kind, state, created, spec, started, finished, error, model, on_success, pid, starts, interruptions, "
    "idle"
)
UNFINISHED = "state IN ('queued', 'running')"
OPEN = "state IN ('queued', 'running', 'paused')"
Row = tuple[
    str, str, JobState, float, str, float | None, float | None, str | None, str | None, bytes | None,
    int | None, int, int, float,
]  # fmt: skip


class JobFolder:
    """Where a job's files are. `lock` is held while anything of the job is alive: its runner or its program."""

    def __init__(self, home: Home, id: str) -> None:
        self.path = home.jobs / id
        self.spec = self.path / "spec.json"
        self.log = self.path / "log.txt"
        self.lock = self.path / "lock"
        self.output = self.path / "output"
        self.manifest = self.output / "manifest.json"
        self.events = self.output / "events.jsonl"
        self.metrics = self.output / "metrics.jsonl"

    def result(self) -> Path | None:
        """The directory of the model or adapter that the job made."""
        return next((p for p in (self.output / "adapter", self.output / "model") if p.is_dir()), None)


class JobEntry(msgspec.Struct, frozen=True):
    """A job and what only its runner needs. `pid` leads the session of the running program. `starts` counts runs,
    `interruptions` those that ended by saying so (exit code 75)."""

    job: Job
    on_success: ModelVersion | None
    pid: int | None
    starts: int
    interruptions: int


class JobTable:
    def __init__(self, home: Home) -> None:
        self._home = home
        self._database = Database(home.records, SCHEMA)
        self._have_idle()

    def insert(self, request: JobRequest) -> JobEntry:
        """The job of that id, queued now unless it was there."""
        on_success = msgspec.json.encode(request.on_success) if request.on_success else None
        spec = json.dumps(request.spec)
        with self._database.write() as connection:
            connection.execute(
                "INSERT INTO jobs (id, kind, spec, on_success, created) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING",
                (request.id, request.kind, spec, on_success, time.time()),
            )
        return self.get(request.id)

    def get(self, id: str) -> JobEntry:
        """Raises NotFound."""
        row = None
        if ID.fullmatch(id):
            with self._database.read() as connection:
                row = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise NotFound(f"no job {id[:200]!r}; list the jobs to see what there is", param="job")
        return self._entry(row)

    def list(self, after: str | None, limit: int) -> builtins.list[JobEntry]:
        """Newest first, those older than the job `after`; none when there is no such job."""
        if after is not None and not ID.fullmatch(after):
            return []
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {COLUMNS} FROM jobs WHERE seq < IFNULL((SELECT seq FROM jobs WHERE id = ?), ?) "
                "ORDER BY seq DESC LIMIT ?",
                (after, 0 if after else 1 << 62, max(limit, 0)),
            ).fetchall()
        return [self._entry(row) for row in rows]

    def unfinished(self) -> builtins.list[JobEntry]:
        """What is to be run, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(f"SELECT {COLUMNS} FROM jobs WHERE {UNFINISHED} ORDER BY seq").fetchall()
        return [self._entry(row) for row in rows]

    def start(self, id: str) -> bool:
        """Counts a run of the job; False when it has ended."""
        return self._change(
            "state = 'running', starts = starts + 1, pid = NULL, started = IFNULL(started, ?), "
            "idle = idle + IFNULL(MAX(? - halted, 0), 0), halted = NULL",
            (now := time.time(), now),
            id,
            UNFINISHED,
        )

    def running_as(self, id: str, pid: int) -> bool:
        """False when the job was cancelled meanwhile."""
        return self._change("pid = ?", (pid,), id, "state = 'running'")

    def interrupted(self, id: str) -> bool:
        """Also where the job was paused meanwhile."""
        return self._change("interruptions = interruptions + 1", (), id, OPEN)

    def succeed(self, id: str, model: str | None) -> bool:
        """False when the job was cancelled meanwhile."""
        values = (time.time(), model)
        return self._change(
            "state = 'succeeded', finished = ?, model = ?, pid = NULL", values, id, "state = 'running'"
        )

    def fail(self, id: str, error: str) -> bool:
        values = (time.time(), error)
        return self._change("state = 'failed', finished = ?, error = ?, pid = NULL", values, id, UNFINISHED)

    def cancel(self, id: str) -> bool:
        """False when the job had ended before. The pid stays: it says what to stop."""
        return self._change("state = 'cancelled', finished = ?", (time.time(),), id, OPEN)

    def pause(self, id: str) -> bool:
        """False when the job had ended, or is paused already. The pid stays, as it does for a cancel."""
        halted = "halted = CASE WHEN started IS NULL THEN NULL ELSE IFNULL(halted, ?) END"
        return self._change(f"state = 'paused', {halted}", (time.time(),), id, UNFINISHED)

    def resume(self, id: str) -> bool:
        """False when the job isn't paused. Its runs are counted anew."""
        return self._change("state = 'queued', starts = 0, interruptions = 0", (), id, "state = 'paused'")

    def close(self) -> None:
        self._database.close()

    def _have_idle(self) -> None:
        """For a file from before pauses were counted."""
        told = "SELECT 1 FROM pragma_table_info('jobs') WHERE name = 'idle'"
        with self._database.read() as connection:
            if connection.execute(told).fetchone():
                return
        with self._database.write() as connection:
            if not connection.execute(told).fetchone():
                connection.execute("ALTER TABLE jobs ADD COLUMN halted REAL")
                connection.execute("ALTER TABLE jobs ADD COLUMN idle REAL NOT NULL DEFAULT 0")

    def _change(self, assignments: str, values: tuple[object, ...], id: str, condition: str) -> bool:
        with self._database.write() as connection:
            cursor = connection.execute(
                f"UPDATE jobs SET {assignments} WHERE id = ? AND {condition}", (*values, id)
            )
            return cursor.rowcount == 1

    def _entry(self, row: Row) -> JobEntry:
        (
            id,
            kind,
            state,
            created,
            spec,
            started,
            finished,
            error,
            model,
            on_success,
            pid,
            starts,
            interruptions,
            idle,
        ) = row
        job = Job(
            id=id,
            kind=kind,
            state=state,
            created=created,
            spec=json.loads(spec),
            output=str(JobFolder(self._home, id).output),
            started=started,
            finished=finished,
            error=error,
            model=model,
            idle=idle,
        )
        version = msgspec.json.decode(on_success, type=ModelVersion) if on_success else None
        return JobEntry(job, version, pid, starts, interruptions)
