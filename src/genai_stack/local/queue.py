"""JobQueue of child processes: a submit is a row in a table, and one detached runner works the table off.

Nothing of a job hangs on the process that submitted it. Whoever looks at an unfinished job while no runner is alive
starts one, and that one picks up where the last was.
"""

from __future__ import annotations

import builtins
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from genai_stack import settings
from genai_stack.errors import ObjectNotFound, RequestError
from genai_stack.ports import FINAL_STATES, Job, JobRequest

from .home import Home
from .jobs import ID, JobEntry, JobFolder, JobTable
from .lines import read_lines
from .locks import acquire, held
from .processes import terminate

PROGRAMS: Mapping[str, str] = {
    "train": "genai_stack.training",
    "evaluate": "genai_stack.bulk.evaluate",
    "batch": "genai_stack.bulk.batch",
}
"""Job kind → the module that runs it: `python -m MODULE spec.json`, the spec's `output` naming the directory to
fill. It writes manifest.json last, and exits 0, 75 (interrupted: run me again) or otherwise (failed)."""
RESTART_SECONDS = 1.0
"""Looking at a job starts a runner no more often than this."""


class ProcessJobs:
    """Jobs of one home directory. At most `max_running` run at once, first come first served. A cancelled program
    gets `grace` seconds between SIGTERM and SIGKILL, a paused one `pause_grace`: it ends its step and keeps it."""

    def __init__(
        self,
        home: Home,
        *,
        programs: Mapping[str, str] = PROGRAMS,
        max_running: int = 1,
        grace: float = 5.0,
        pause_grace: float = 60.0,
    ) -> None:
        self._home, self._programs, self._grace, self._pause_grace = home, programs, grace, pause_grace
        self._slots = [home.jobs / f"slot-{number}.lock" for number in range(max_running)]
        self._table = JobTable(home)
        self._started = -RESTART_SECONDS

    def submit(self, request: JobRequest) -> Job:
        if not ID.fullmatch(request.id):
            raise RequestError("a job id has 1 to 64 letters, digits, '-' or '_'; choose another", param="id")
        if request.kind not in self._programs:
            kinds = ", ".join(sorted(self._programs))
            raise RequestError(f"no job kind {request.kind!r}; there are: {kinds}", param="kind")
        if request.on is not None:
            raise RequestError(
                f"this machine runs its jobs itself, and none on {request.on!r}; submit to a deployed stage",
                param="on",
            )
        if request.nodes != 1:
            raise RequestError(
                f"this machine is one node, not {request.nodes}; submit to a deployed stage", param="nodes"
            )
        job = self._table.insert(request).job
        self._start_runner()
        return job

    def get(self, id: str) -> Job:
        job = self._table.get(id).job
        self._look_after([job])
        return job

    def list(self, *, after: str | None = None, limit: int = 100) -> builtins.list[Job]:
        jobs = [entry.job for entry in self._table.list(after, limit)]
        self._look_after(jobs)
        return jobs

    def cancel(self, id: str) -> Job:
        """Returns when the job's processes are gone, `grace` and a few seconds at the most."""
        self._table.get(id)
        self._table.cancel(id)
        entry = self._table.get(id)
        if entry.job.state == "cancelled":
            self._end(entry, self._grace)
        return entry.job

    def pause(self, id: str) -> Job:
        """Returns when the job's processes are gone."""
        self._table.get(id)
        self._table.pause(id)
        entry = self._table.get(id)
        if entry.job.state == "paused":
            self._end(entry, self._pause_grace)
        return entry.job

    def resume(self, id: str) -> Job:
        self._table.get(id)
        self._table.resume(id)
        return self.get(id)

    def events(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        self.get(id)
        return read_lines(JobFolder(self._home, id).events, after)

    def metrics(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        self.get(id)
        return read_lines(JobFolder(self._home, id).metrics, after)

    def log(self, id: str) -> str:
        self.get(id)
        try:
            return JobFolder(self._home, id).log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def output(self, id: str, name: str) -> Iterator[bytes]:
        self.get(id)
        folder = JobFolder(self._home, id).output
        path = folder / name
        try:
            if not path.resolve().is_relative_to(folder.resolve()):
                raise FileNotFoundError
            file = path.open("rb")
        except (OSError, ValueError):
            raise ObjectNotFound(f"job {id} left no file {name[:200]!r}; read the job's log") from None
        chunks = _chunks(file)
        next(chunks)  # from here on the generator owns the file, and closes it when it is dropped
        return chunks

    def close(self) -> None:
        """Lets go of the table. Jobs run on."""
        self._table.close()

    def _end(self, entry: JobEntry, grace: float) -> None:
        lock = JobFolder(self._home, entry.job.id).lock
        if not held(lock):
            return
        if entry.pid is not None:
            terminate(entry.pid, grace)
        deadline = time.monotonic() + self._grace
        while held(lock) and time.monotonic() < deadline:  # the runner's own clean-up
            time.sleep(0.02)

    def _look_after(self, jobs: builtins.list[Job]) -> None:
        rested = time.monotonic() - self._started >= RESTART_SECONDS
        if rested and any(job.state not in (*FINAL_STATES, "paused") for job in jobs):
            self._start_runner()

    def _start_runner(self) -> None:
        """Starts a runner when a slot is free. The runner inherits the slot's lock, so there is no moment in which
        two believe it is theirs; whoever holds it looks at the table once more after letting go."""
        for number, slot in enumerate(self._slots):
            lock = acquire(slot, patience=0)
            if lock is None:
                continue
            self._started = time.monotonic()
            programs = [f"{kind}={module}" for kind, module in self._programs.items()]
            command = [sys.executable, "-P", "-m", "genai_stack.local.runner", "--home", str(self._home.path)]
            command += ["--slot", str(slot), "--lock", str(lock.fd), "--grace", str(self._grace)]
            command += ["--pause-grace", str(self._pause_grace), *programs]
            try:
                with open(self._home.jobs / "runner.log", "ab") as log:
                    runner = subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                        pass_fds=(lock.fd,),
                        env=settings.child_environment(),
                    )
            finally:
                lock.release()
            # Someone has to wait for it, or it stays a zombie for as long as we live.
            threading.Thread(target=runner.wait, name=f"job-runner-{number}", daemon=True).start()
            return


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        yield b""
        while chunk := file.read(1 << 20):
            yield chunk
