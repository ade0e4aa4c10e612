"""JobQueue: what every adapter owes. The jobs are tiny programs (tiny_job.py), the processes are real, in Batch's
stand-in (tests/aws/batch_stand_in.py) as well. What only processes of this machine can show is in
tests/local/test_job_processes.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import NotFound, ObjectNotFound, RequestError
from genai_stack.ports import FINAL_STATES, JobQueue, JobRequest
from tests.contracts.adapters import JOBS, REGISTRIES
from tests.contracts.tiny import is_running, tiny, wait


@pytest.fixture(params=JOBS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def queue(adapter: str, tmp_path: Path) -> Iterator[JobQueue]:
    queue = JOBS[adapter](tmp_path)
    yield queue
    for job in queue.list():
        queue.cancel(job.id)
    queue.close()


def test_a_job_runs_and_tells_what_it_does(queue: JobQueue) -> None:
    submitted = queue.submit(
        tiny(
            "j-1",
            {"print": "hello"},
            {"event": {"type": "a"}},
            {"event": {"type": "b"}},
            {"metric": {"loss": 1.5}},
        )
    )
    assert submitted.state == "queued"
    assert submitted.started is None
    job = wait(queue, "j-1")
    assert (job.state, job.error, job.model) == ("succeeded", None, None)
    assert job.started is not None
    assert job.finished is not None
    assert submitted.created <= job.started <= job.finished
    assert queue.log("j-1") == "hello\n"
    assert [e["type"] for e in queue.events("j-1")] == ["a", "b"]
    assert [e["type"] for e in queue.events("j-1", after=1)] == ["b"]
    assert queue.metrics("j-1") == [{"loss": 1.5}]
    assert job.spec == submitted.spec
    assert b"".join(queue.output("j-1", "manifest.json")) == b"{}"
    for absent in ("nothing.json", "../spec.json"):
        with pytest.raises((ObjectNotFound, RequestError)):
            queue.output("j-1", absent)


def test_success_registers_the_model_first(queue: JobQueue, adapter: str, tmp_path: Path) -> None:
    registry = REGISTRIES[adapter](tmp_path)
    queue.submit(tiny("j-2", {"result": "adapter"}, model="ft:builtin:x:1"))
    while (job := queue.get("j-2")).state not in FINAL_STATES:
        time.sleep(0.005)
    version = registry.get("ft:builtin:x:1")
    assert job.state == "succeeded"
    assert job.model == "ft:builtin:x:1"
    assert version.source.endswith("/adapter")
    assert (version.base, version.job) == ("builtin", "j-2")
    assert version.created > 0


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (
            [{"event": {"level": "error", "message": "no such base"}}, {"stderr": "noise"}, {"exit": 2}],
            "no such base",
        ),
        ([{"exit": 3}], "exit code 3"),
        ([{"exit": 0}], "manifest.json"),
    ],
)
def test_a_failure_says_why(queue: JobQueue, steps: list[dict[str, Any]], reason: str) -> None:
    queue.submit(tiny("j-3", *steps, model="ft:builtin:never:1"))
    job = wait(queue, "j-3")
    assert job.state == "failed"
    assert reason in (job.error or "")
    assert job.model is None


def test_success_without_a_result_is_a_failure_when_a_model_was_asked_for(queue: JobQueue) -> None:
    queue.submit(tiny("j-4", model="ft:builtin:none:1"))
    job = wait(queue, "j-4")
    assert job.state == "failed"
    assert "neither adapter nor model" in (job.error or "")


def test_a_submit_is_idempotent(queue: JobQueue, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    request = tiny("same", {"stamp": str(stamps)})
    threads = [threading.Thread(target=queue.submit, args=(request,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait(queue, "same")
    again = queue.submit(tiny("same", {"exit": 1}))
    assert again.state == "succeeded"
    assert len(queue.list()) == 1
    assert len(stamps.read_text().splitlines()) == 1


@pytest.mark.parametrize("id", ["", "a/b", "..", "a b", "ä", "x" * 65, "a\n", "a\0", "\ud800"])
def test_ids_are_plain_words(queue: JobQueue, id: str) -> None:
    with pytest.raises(RequestError):
        queue.submit(tiny(id))
    with pytest.raises(NotFound):
        queue.get(id)
    with pytest.raises(NotFound):
        queue.cancel(id)
    assert queue.list(after=id) == []


def test_what_is_not_there(queue: JobQueue) -> None:
    for call in (queue.get, queue.cancel, queue.pause, queue.resume, queue.events, queue.metrics, queue.log):
        with pytest.raises(NotFound):
            call("nobody")
    with pytest.raises(RequestError, match="no job kind"):
        queue.submit(JobRequest("j", "bake", {}))
    assert queue.list() == []


def test_one_at_a_time_first_come_first_served(queue: JobQueue, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    ids = [f"z{9 - n}" for n in range(4)]
    for id in ids:
        queue.submit(tiny(id, {"stamp": str(stamps)}, {"sleep": 0.1}, {"stamp": str(stamps)}))
    assert [job.id for job in queue.list()] == ids[::-1]
    assert [job.id for job in queue.list(limit=2)] == ids[:1:-1]
    assert [job.id for job in queue.list(after=ids[2], limit=5)] == ids[1::-1]
    assert queue.list(after="nobody") == []
    jobs = [wait(queue, id) for id in ids]
    pids = [line.split()[1] for line in stamps.read_text().splitlines()]
    assert all(pids[i] == pids[i + 1] for i in range(0, 8, 2)), pids
    starts = [job.started or 0 for job in jobs]
    assert starts == sorted(starts)


def test_cancel_of_a_queued_job_and_of_an_ended_one(queue: JobQueue, tmp_path: Path) -> None:
    go, stamps = tmp_path / "go", tmp_path / "stamps"
    queue.submit(tiny("first", {"wait_for": str(go)}))
    queue.submit(tiny("second", {"stamp": str(stamps)}))
    queue.submit(tiny("third"))
    wait(queue, "first", is_running)
    assert queue.cancel("second").state == "cancelled"
    go.touch()
    assert wait(queue, "third").state == "succeeded"
    assert queue.get("second").state == "cancelled"
    assert queue.get("second").started is None
    assert not stamps.exists()
    assert queue.cancel("first").state == "succeeded"


def test_an_interrupted_job_runs_again(queue: JobQueue, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    queue.submit(tiny("again", {"stamp": str(stamps)}, {"once": 75}, {"event": {"type": "done"}}))
    assert wait(queue, "again").state == "succeeded"
    assert len(stamps.read_text().splitlines()) == 2


def test_a_paused_job_keeps_nobody_waiting_and_goes_on(queue: JobQueue, adapter: str, tmp_path: Path) -> None:
    go, stamps = tmp_path / "go", tmp_path / "stamps"
    queue.submit(tiny("long", {"stamp": str(stamps)}, {"wait_for": str(go)}, model="ft:builtin:p:1"))
    queue.submit(tiny("waits"))
    wait(queue, "long", lambda job: job.state == "running" and stamps.exists())
    assert queue.pause("waits").state == "paused"
    queue.pause("long")
    held = wait(queue, "long", lambda job: job.state == "paused")
    assert (held.finished, held.error) == (None, None)
    assert queue.pause("long").state == "paused"
    assert queue.resume("waits").state == "queued"
    assert wait(queue, "waits").state == "succeeded"
    go.touch()
    again = JOBS[adapter](tmp_path)  # another process
    assert again.get("long").state == "paused"
    assert len(stamps.read_text().splitlines()) == 1
    assert again.resume("long").state == "queued"
    ended = wait(queue, "long")
    assert ended.state == "failed"  # it leaves no adapter
    assert ended.started is not None
    assert ended.finished is not None
    assert 0 < ended.idle <= ended.finished - ended.started
    assert len(stamps.read_text().splitlines()) == 2
    assert queue.pause("long").state == "failed"
    assert queue.resume("long").state == "failed"
    again.close()


def test_pauses_are_no_losses_and_a_cancel_ends_them(queue: JobQueue, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps"
    queue.submit(tiny("often", {"stamp": str(stamps)}, {"sleep": 60}))
    for run in range(1, 5):
        wait(queue, "often", lambda _, run=run: stamps.exists() and len(stamps.read_text().splitlines()) == run)
        queue.pause("often")
        wait(queue, "often", lambda job: job.state == "paused")
        if run < 4:
            queue.resume("often")
    assert queue.cancel("often").state == "cancelled"
    assert queue.resume("often").state == "cancelled"


def test_torn_lines_do_not_count(queue: JobQueue) -> None:
    queue.submit(tiny("torn", {"event": {"n": 1}}, {"torn": '{"n": 2, "x'}, {"sleep": 60}))
    wait(queue, "torn", lambda job: len(queue.events("torn")) == 1)
    queue.cancel("torn")
    assert queue.events("torn") == [{"n": 1}]
    queue.submit(tiny("mid", {"torn": '{"n": 2, "x\n'}, {"event": {"n": 3}}, {"torn": "[1]\n"}))
    wait(queue, "mid")
    assert queue.events("mid") == [{"n": 3}]
