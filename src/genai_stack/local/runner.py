"""The process that runs jobs: `python -m genai_stack.local.runner --home H --slot FILE --lock FD kind=module …`.

Works the table off, oldest job first, and ends. It holds three things, none of which outlives it: the slot (one
runner at a time), the lock of the job in hand, and its program. The program inherits both locks, so a program that
outlives a killed runner keeps its slot and is never run twice at once.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from genai_stack import settings
from genai_stack.errors import GenAIStackError
from genai_stack.ports import ModelRegistry
from genai_stack.registry import RecordedModels, forget_made, register_made

from .files import write_whole
from .home import Home
from .jobs import JobEntry, JobFolder, JobTable
from .lines import read_lines
from .locks import FileLock, acquire, held
from .processes import terminate
from .records import SqliteRecords

INTERRUPTED = 75
"""The exit code (EX_TEMPFAIL) with which a program asks to be run again."""
FROM_OUTSIDE = frozenset((-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP))
MAX_INTERRUPTIONS = 20
MAX_LOSSES = 3
"""Runs that may end without a word (killed from outside, machine lost) before the job fails."""
POLL_SECONDS = 0.2


class Runner:
    def __init__(
        self,
        home: Home,
        table: JobTable,
        registry: ModelRegistry,
        programs: Mapping[str, str],
        grace: float,
        pause_grace: float,
    ) -> None:
        self._home, self._table, self._registry = home, table, registry
        self._programs, self._grace, self._pause_grace = programs, grace, pause_grace
        self._stopping = False
        self._program: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Passes a SIGTERM on: the program may leave a checkpoint, and the next runner goes on from there."""
        self._stopping = True
        if self._program is not None:
            self._program.terminate()

    def work(self, slot: FileLock) -> None:
        """Runs jobs until there is none to run."""
        while not self._stopping and (claim := self._claim()) is not None:
            entry, lock = claim
            try:
                self._run(entry, lock, slot)
            finally:
                lock.release()

    def waiting(self) -> bool:
        """Whether a job waits that nothing works on."""
        return not self._stopping and any(
            not held(JobFolder(self._home, entry.job.id).lock) for entry in self._table.unfinished()
        )

    def _claim(self) -> tuple[JobEntry, FileLock] | None:
        for entry in self._table.unfinished():
            folder = JobFolder(self._home, entry.job.id)
            folder.path.mkdir(mode=0o700, exist_ok=True)
            if lock := acquire(folder.lock):
                return self._table.get(entry.job.id), lock
        return None

    def _run(self, entry: JobEntry, lock: FileLock, slot: FileLock) -> None:
        job, folder = entry.job, JobFolder(self._home, entry.job.id)
        while not folder.manifest.exists():
            if (given_up := _given_up(entry)) is not None:
                self._table.fail(job.id, given_up)
                return
            if not self._table.start(job.id):
                return
            error = self._attempt(entry, folder, (lock.fd, slot.fd))
            if error is not None:
                self._table.fail(job.id, error)
                return
            if self._stopping:
                return
            entry = self._table.get(job.id)
        self._complete(entry, folder)

    def _attempt(self, entry: JobEntry, folder: JobFolder, locks: tuple[int, ...]) -> str | None:
        """Runs the program once. Returns why it failed; None when it is done or can go on."""
        id = entry.job.id
        module = self._programs.get(entry.job.kind)
        if module is None:
            return f"no program runs jobs of kind {entry.job.kind!r}"
        folder.output.mkdir(mode=0o700, exist_ok=True)
        write_whole(folder.spec, json.dumps({**entry.job.spec, "output": str(folder.output)}).encode())
        told = len(read_lines(folder.events))
        with open(folder.log, "ab") as log:
            program = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(folder.spec)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=locks,
                env=settings.child_environment(
                    PYTHONUNBUFFERED="1", OMP_WAIT_POLICY="PASSIVE", GENAI_STACK_HOME=str(self._home.path)
                ),
            )
        self._program = program
        if self._stopping:
            program.terminate()
        code = self._supervise(id, program)
        self._program = None
        if code == INTERRUPTED:
            self._table.interrupted(id)
        elif code == 0 and not folder.manifest.exists():
            return f"the program ended without writing {folder.manifest.name}; read the job's log"
        elif code != 0 and code not in FROM_OUTSIDE:
            return _reason(folder, told) or f"the program ended with {_ending(code)}; read the job's log"
        return None

    def _supervise(self, id: str, program: subprocess.Popen[bytes]) -> int:
        """Waits for the program, and ends it when the job is cancelled or paused. None of its children stays behind."""
        ours = self._table.running_as(id, program.pid)
        while ours:
            try:
                code = program.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                ours = self._table.get(id).job.state == "running"
            else:
                terminate(program.pid, grace=0)
                return code
        cancelled = self._table.get(id).job.state == "cancelled"
        terminate(program.pid, self._grace if cancelled else self._pause_grace)
        return program.wait()

    def _complete(self, entry: JobEntry, folder: JobFolder) -> None:
        """The manifest is there. The model is registered before the job says so: who sees it can call it."""
        job = entry.job
        if job.state in ("paused", "cancelled"):
            return
        if job.state == "queued" and not self._table.start(job.id):
            return
        if entry.on_success is None:
            self._table.succeed(job.id, None)
            return
        result = folder.result()
        if result is None:
            self._table.fail(job.id, f"the program left neither adapter nor model in {folder.output}")
            return
        try:
            made = msgspec.structs.replace(entry.on_success, source=str(result), job=job.id)
            version = register_made(self._registry, made)
        except GenAIStackError as error:
            self._table.fail(job.id, error.message)
            return
        if not self._table.succeed(job.id, version.name):
            forget_made(self._registry, version.name)


def _given_up(entry: JobEntry) -> str | None:
    lost = entry.starts - entry.interruptions
    if lost >= MAX_LOSSES:
        return f"killed from outside {lost} times, perhaps for want of memory; read the job's log"
    if entry.interruptions >= MAX_INTERRUPTIONS:
        return f"interrupted {entry.interruptions} times; submit the job again under a new id"
    return None


def _reason(folder: JobFolder, told: int) -> str | None:
    """The last error event of this run, else the last line it printed."""
    for event in reversed(read_lines(folder.events, told)):
        if event.get("level") == "error" and event.get("message"):
            return str(event["message"])
    lines = [line.strip() for line in folder.log.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), None)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.local.runner", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--slot", type=Path, required=True, help="the slot's lock file")
    parser.add_argument("--lock", type=int, required=True, help="an inherited file descriptor that holds it")
    parser.add_argument("--grace", type=float, default=5.0, help="seconds between SIGTERM and SIGKILL")
    parser.add_argument("--pause-grace", type=float, default=60.0, help="the same where the job is paused")
    parser.add_argument("programs", nargs="+", metavar="kind=module")
    given = parser.parse_args(arguments)
    home = Home(given.home)
    programs = dict(str(program).split("=", 1) for program in given.programs)
    registry = RecordedModels(SqliteRecords(home.records), ())
    runner = Runner(home, JobTable(home), registry, programs, given.grace, given.pause_grace)
    signal.signal(signal.SIGTERM, lambda number, frame: runner.stop())
    return run_until_idle(runner, FileLock(given.lock), lambda: acquire(given.slot))


def run_until_idle(runner: Runner, slot: FileLock | None, again: Callable[[], FileLock | None]) -> int:
    """Looks once more after letting go of the slot: a job submitted just before found it taken."""
    while slot is not None:
        runner.work(slot)
        slot.release()
        slot = again() if runner.waiting() else None
    return 0


if __name__ == "__main__":
    sys.exit(main())
