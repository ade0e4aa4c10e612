"""Jobs when their processes are killed at the worst moments: runner, program, submitter, all at once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.local.home import Home
from genai_stack.local.jobs import JobFolder
from genai_stack.local.locks import held
from genai_stack.local.queue import ProcessJobs
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import FINAL_STATES, Job, JobRequest, ModelVersion
from genai_stack.registry import RecordedModels

PROGRAMS = {"tiny": "tiny_job"}
SUBMITTER = """
import sys
from pathlib import Path
from genai_stack.local.home import Home
from genai_stack.local.queue import ProcessJobs
from genai_stack.ports import JobRequest
queue = ProcessJobs(Home(Path(sys.argv[1])), programs={"tiny": "tiny_job"})
for n in range(100):
    job = queue.submit(JobRequest(f"j{n}", "tiny", {}))
    print(job.id, flush=True)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def queue(home: Home) -> Iterator[ProcessJobs]:
    queue = ProcessJobs(home, programs=PROGRAMS, grace=0.5)
    yield queue
    for job in queue.list():
        queue.cancel(job.id)
    queue.close()


def submit(queue: ProcessJobs, *steps: dict[str, Any], id: str = "job", **more: Any) -> None:
    model = ModelVersion("ft:builtin:x:job", "", base="builtin")
    queue.submit(JobRequest(id, "tiny", {"steps": [*steps, {"result": "model"}], **more}, model))


def finished(queue: ProcessJobs, id: str = "job", seconds: float = 60) -> Job:
    deadline = time.monotonic() + seconds
    while (job := queue.get(id)).state not in FINAL_STATES:
        assert time.monotonic() < deadline, f"{job}\n{queue.log(id)}"
        time.sleep(0.02)
    return job


def stamped(path: Path) -> int:
    """The pid of the program, once it runs."""
    deadline = time.monotonic() + 60
    while not path.exists() or not (lines := path.read_text().splitlines()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(lines[-1].split()[1])


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_runner_killed_program_goes_on(queue: ProcessJobs, home: Home, tmp_path: Path) -> None:
    stamp, go = tmp_path / "stamp", tmp_path / "go"
    submit(queue, {"stamp": str(stamp)}, {"wait_for": str(go)})
    program = stamped(stamp)
    os.kill(parent(program), signal.SIGKILL)
    time.sleep(0.2)
    assert queue.get("job").state == "running"
    submit(queue, id="next")  # must not start beside the orphan
    time.sleep(0.3)
    assert queue.get("next").state == "queued"
    go.touch()
    assert finished(queue).state == "succeeded"
    assert len(stamp.read_text().splitlines()) == 1, "it ran twice"
    assert RecordedModels(SqliteRecords(home.records)).get("ft:builtin:x:job").job == "job"
    finished(queue, "next")


def test_runner_and_program_killed_job_runs_again(queue: ProcessJobs, tmp_path: Path) -> None:
    stamp, go = tmp_path / "stamp", tmp_path / "go"
    submit(queue, {"stamp": str(stamp)}, {"wait_for": str(go)})
    program = stamped(stamp)
    os.kill(parent(program), signal.SIGKILL)
    os.killpg(program, signal.SIGKILL)
    go.touch()
    time.sleep(1)
    assert finished(queue).state == "succeeded"
    assert len(stamp.read_text().splitlines()) == 2


def test_runner_killed_after_the_manifest(queue: ProcessJobs, home: Home, tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    submit(queue, {"stamp": str(stamp)}, afterwards=[30])
    program = stamped(stamp)
    while not JobFolder(home, "job").manifest.exists():
        time.sleep(0.01)
    os.kill(parent(program), signal.SIGKILL)
    os.killpg(program, signal.SIGKILL)
    time.sleep(1)
    assert finished(queue).state == "succeeded"
    assert len(stamp.read_text().splitlines()) == 1


def test_runner_killed_then_cancel(queue: ProcessJobs, tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    submit(queue, {"stubborn": 1}, {"stamp": str(stamp)}, {"sleep": 60})
    program = stamped(stamp)
    os.kill(parent(program), signal.SIGKILL)
    assert queue.cancel("job").state == "cancelled"
    assert not Path(f"/proc/{program}").exists() or "Z" in Path(f"/proc/{program}/stat").read_text().split()[2]
    submit(queue, id="next")
    assert finished(queue, "next").state == "succeeded"


def test_runner_asked_to_stop_passes_it_on(queue: ProcessJobs, tmp_path: Path) -> None:
    stamp, go = tmp_path / "stamp", tmp_path / "go"
    submit(queue, {"stamp": str(stamp)}, {"wait_for": str(go)})
    program = stamped(stamp)
    runner = parent(program)
    os.kill(runner, signal.SIGTERM)
    go.touch()
    while Path(f"/proc/{runner}").exists():
        time.sleep(0.01)
    assert not Path(f"/proc/{program}").exists()
    time.sleep(1)
    assert finished(queue).state == "succeeded"


def test_submitter_killed_nothing_acknowledged_is_lost(home: Home, queue: ProcessJobs) -> None:
    submitter = subprocess.Popen(
        [sys.executable, "-c", SUBMITTER, str(home.path)], stdout=subprocess.PIPE, text=True
    )
    assert submitter.stdout
    told = [submitter.stdout.readline().strip() for _ in range(8)]
    os.kill(submitter.pid, signal.SIGKILL)
    told += submitter.stdout.read().split()
    submitter.wait()
    submitter.stdout.close()
    known = {job.id for job in queue.list(limit=1000)}
    assert set(told) <= known
    for id in told[:4]:
        assert finished(queue, id).state == "succeeded"
    for id in known:
        queue.cancel(id)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment(home: Home, seed: int) -> None:
    """Everything of the stack is killed again and again at random moments; every job still ends, with one model."""
    dice = random.Random(seed)
    queue = ProcessJobs(home, programs=PROGRAMS)
    ids = [f"job-{n}" for n in range(3)]
    for id in ids:
        model = ModelVersion(f"ft:builtin:x:{id}", "", base="builtin")
        spec = {"steps": [{"sleep": 0.05}, {"once": 75}, {"result": "model"}]}
        queue.submit(JobRequest(id, "tiny", spec, model))
    for _ in range(5):
        time.sleep(dice.uniform(0, 0.25))
        for pid in processes_of(home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        queue._started = -10.0  # look after them at once
        queue.list()
    jobs = [finished(queue, id) for id in ids]
    registry = RecordedModels(SqliteRecords(home.records), ())
    made = {version.job for version in registry.list()}
    assert {job.id for job in jobs if job.state == "succeeded"} == made
    for job in jobs:
        assert job.state == "succeeded" or "killed from outside" in (job.error or ""), job
    assert not any(held(JobFolder(home, id).lock) for id in ids)
    queue.close()


def processes_of(home: Home) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and str(home.path).encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found
