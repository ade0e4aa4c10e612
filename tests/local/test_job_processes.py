"""What a queue on this machine owes beyond the contract: no process of a job outlives it, and why one ended is told."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import RequestError
from genai_stack.ports import JobQueue, JobRequest
from tests.contracts.adapters import JOBS
from tests.contracts.tiny import tiny, wait


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    queue = JOBS["local"](tmp_path)
    yield queue
    for job in queue.list():
        queue.cancel(job.id)
    queue.close()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def appears(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not (path.exists() and (text := path.read_text())):
        assert time.monotonic() < deadline, path
        time.sleep(0.01)
    return text


def test_cancel_ends_the_whole_family(queue: JobQueue, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    queue.submit(
        tiny(
            "c-1", {"stubborn": 1}, {"children": str(pids)}, {"result": "adapter"}, {"sleep": 60}, model="never"
        )
    )
    children = [int(pid) for pid in appears(pids).split()]
    assert not any(gone(pid) for pid in children)
    before = time.monotonic()
    job = queue.cancel("c-1")
    assert time.monotonic() - before < 5
    assert job.state == "cancelled"
    assert all(gone(pid) for pid in children)
    time.sleep(0.3)
    assert queue.get("c-1").state == "cancelled"
    assert queue.get("c-1").model is None
    assert queue.cancel("c-1") == queue.get("c-1")


def test_nothing_is_left_of_a_program_that_leaves_children(queue: JobQueue, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    queue.submit(tiny("kids", {"children": str(pids)}))
    assert wait(queue, "kids").state == "succeeded"
    # The one that made a session of its own lost its parent, and with it the family name.
    assert gone(int(pids.read_text().split()[0]))
    os.kill(int(pids.read_text().split()[1]), 9)


def test_what_is_killed_each_time_fails(queue: JobQueue) -> None:
    queue.submit(tiny("doomed", {"exit": -9}))
    job = wait(queue, "doomed")
    assert job.state == "failed"
    assert "killed from outside 3 times" in (job.error or "")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([{"stderr": "Traceback"}, {"stderr": "bad data in line 3"}, {"exit": 1}], "bad data in line 3"),
        ([{"exit": -11}], "SIGSEGV"),
    ],
)
def test_a_failure_without_an_event_says_why(queue: JobQueue, steps: list[dict[str, Any]], reason: str) -> None:
    queue.submit(tiny("j-3", *steps))
    assert reason in (wait(queue, "j-3").error or "")


def test_what_is_killed_once_runs_again(queue: JobQueue, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    queue.submit(tiny("again", {"stamp": str(stamps)}, {"once": -9}))
    assert wait(queue, "again").state == "succeeded"
    assert len(stamps.read_text().splitlines()) == 2


def test_this_machine_is_one_node(queue: JobQueue) -> None:
    with pytest.raises(RequestError, match="this machine is one node, not 2"):
        queue.submit(JobRequest("j", "tiny", {}, nodes=2))
    assert queue.list() == []
