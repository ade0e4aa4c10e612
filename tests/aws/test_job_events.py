"""Events may come late, twice, and in any order; all orders end in the same record."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_stack.aws.job_events import record
from genai_stack.aws.job_progress import RANK
from genai_stack.aws.job_records import JobRecords
from genai_stack.aws.observed import CANCELLED, PAUSED
from genai_stack.errors import RequestError
from genai_stack.ports import JobRequest, ModelVersion
from genai_stack.service import charging
from tests.aws.fakes import Account

MODEL = ModelVersion("ft:builtin:x:1", "", base="builtin", job="job")


ENDED_BY = {"CANCELLED": CANCELLED, "PAUSED": PAUSED}


def event(status: str, **more: Any) -> dict[str, Any]:
    detail = {"jobName": "job", "jobId": "batch-1", "status": status, "jobQueue": "arn:spot", **more}
    return {"version": "0", "source": "aws.batch", "detail-type": "Batch Job State Change", "detail": detail}


def story(attempts: int, end: str) -> list[dict[str, Any]]:
    """Every event of a job that was tried so often and ended so."""
    told: list[dict[str, Any]] = [event("SUBMITTED"), event("PENDING")]
    past: list[dict[str, Any]] = []
    for number in range(attempts):
        start, log = 1_000_000 + 10_000 * number, {"logStreamName": f"stream-{number}"}
        told += [event(status, attempts=list(past)) for status in ("RUNNABLE", "STARTING")]
        told.append(event("RUNNING", startedAt=start, attempts=list(past), container=log))
        code = 0 if end == "SUCCEEDED" and number == attempts - 1 else 75
        past.append({"startedAt": start, "stoppedAt": start + 5000, "container": {"exitCode": code, **log}})
    if end in ENDED_BY:
        told.append(event("FAILED", statusReason=ENDED_BY[end], attempts=list(past), stoppedAt=2_000_000))
    else:
        told.append(event(end, attempts=list(past), stoppedAt=2_000_000))
    return told


def told(events: list[dict[str, Any]], *, files: bool = True) -> Any:
    """The record after the events, and how many models there are. Checks that no state ever goes back."""
    account = Account()
    jobs = JobRecords(account.records)
    jobs.create(JobRequest("job", "train", {}, MODEL), "s3://artefacts/jobs/job/output", 0.0)
    if files:
        account.leaves("job", "manifest.json", "adapter/weights")
    rank = 0
    for one in events:
        record(one, account.services)
        now = RANK[jobs.get("job").state]
        assert now >= rank
        rank = now
    models = [version for version in account.registry.list() if version.name == MODEL.name]
    return msgspec.structs.replace(jobs.get("job"), created=0.0), len(models)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.data(),
    attempts=st.integers(1, 3),
    end=st.sampled_from(["SUCCEEDED", "FAILED", "CANCELLED", "PAUSED"]),
)
def test_any_order_and_any_repetition_end_in_the_same_record(
    data: st.DataObject, attempts: int, end: str
) -> None:
    events = story(attempts, end)
    more = data.draw(st.lists(st.sampled_from(events), max_size=6))
    shuffled = data.draw(st.permutations(events + more))
    expected, models = told(events)
    assert told(shuffled) == (expected, models)
    assert models == (end == "SUCCEEDED")
    assert expected.state == end.lower()
    assert (expected.started, expected.finished) == (1000.0, None if end == "PAUSED" else 2000.0)
    assert expected.past == (("batch-1",) if end == "PAUSED" else ())
    assert expected.log == f"stream-{attempts - 1}"


def test_what_is_heard_of_a_paused_run_after_the_resume_counts_no_more() -> None:
    account = Account()
    account.queue.submit(JobRequest("job", "train", {}, MODEL))
    batch = JobRecords(account.records).get("job").batch
    late = {**story(1, "SUCCEEDED")[-1]["detail"], "jobId": batch}
    account.queue.pause("job")
    record(event("FAILED", jobId=batch, statusReason=PAUSED), account.services)
    assert account.queue.get("job").state == "paused"
    assert account.queue.resume("job").state == "queued"
    record({**event("SUCCEEDED"), "detail": late}, account.services)
    entry = JobRecords(account.records).get("job")
    assert (entry.state, entry.past, entry.batch == batch) == ("queued", (batch,), False)


def test_the_time_between_runs_is_idle_and_no_more_than_that() -> None:
    account = Account()
    jobs = JobRecords(account.records)
    account.queue.submit(JobRequest("job", "train", {}, MODEL))
    account.leaves("job", "manifest.json", "adapter/weights")
    seconds = 100
    for end in ("queued", "paused", "paused", "succeeded"):
        batch, ms = jobs.get("job").batch, seconds * 1000
        attempt = {"startedAt": ms, "stoppedAt": ms + 10_000, "container": {}}
        if end == "succeeded":
            last = event("SUCCEEDED", jobId=batch, attempts=[attempt], stoppedAt=ms + 10_000)
            for one in (event("RUNNING", jobId=batch, startedAt=ms), last, last):
                record(one, account.services)
            break
        account.queue.pause("job")
        ran = {"attempts": [attempt], "stoppedAt": ms + 10_000} if end == "paused" else {"stoppedAt": ms}
        for _ in range(2):
            record(event("FAILED", jobId=batch, statusReason=PAUSED, **ran), account.services)
        account.queue.resume("job")
        seconds += 1000
    job = account.queue.get("job")
    assert (job.state, job.started, job.finished, job.idle) == ("succeeded", 1100.0, 3110.0, 2 * 990.0)
    assert charging.ran(job) == 30.0


def test_a_success_registers_the_model() -> None:
    entry, models = told(story(1, "SUCCEEDED"))
    assert (entry.model, models) == (MODEL.name, 1)


def test_an_adapter_that_is_made_is_attached_and_a_whole_model_isn_t() -> None:
    for base, files, expected in (("builtin", "adapter/weights", [MODEL.name]), (None, "model/weights", [])):
        account, attached = Account(), list[ModelVersion]()
        made = msgspec.structs.replace(MODEL, base=base)
        JobRecords(account.records).create(
            JobRequest("job", "train", {}, made), "s3://artefacts/jobs/job/output", 0.0
        )
        account.leaves("job", "manifest.json", files)
        for one in story(2, "SUCCEEDED"):
            record(one, account.services, attached.append)
        assert [version.name for version in attached] == expected


def test_what_a_job_kept_on_its_way_is_attached_however_it_ended() -> None:
    account, attached = Account(), list[ModelVersion]()
    output = "s3://artefacts/jobs/job/output"
    JobRecords(account.records).create(JobRequest("job", "train", {}, MODEL), output, 0.0)
    lines = b'{"type": "kept", "step": 3}\n{"type": "kept", "step": 3}\n{"type": "kept", "step": 6}\n'
    account.services.objects.put("jobs/job/output/events.jsonl", lines)
    for one in story(1, "CANCELLED"):
        record(one, account.services, attached.append)
    assert [version.name for version in attached] == [f"{MODEL.name}:ckpt-step-{step}" for step in (3, 6)]
    assert attached[0].source == f"{output}/kept/step-3"


def test_a_success_without_its_files_has_failed() -> None:
    entry, models = told(story(1, "SUCCEEDED"), files=False)
    assert (entry.state, models) == ("failed", 0)
    assert "manifest.json" in entry.error


def test_a_cancelled_job_stays_cancelled() -> None:
    account = Account()
    account.queue.submit(JobRequest("job", "train", {}, MODEL))
    account.queue.cancel("job")
    account.leaves("job", "manifest.json", "adapter/weights")
    for one in story(2, "SUCCEEDED"):
        record(one, account.services)
    assert account.queue.get("job").state == "cancelled"
    assert [v.name for v in account.registry.list()].count(MODEL.name) == 0


def test_jobs_that_are_not_ours_change_nothing() -> None:
    account = Account()
    account.queue.submit(JobRequest("job", "train", {}))
    before = account.queue.get("job")
    for more in (
        {"jobName": "somebody-elses"},
        {"jobName": "no job's name at all"},
        {"jobId": "batch-99"},
        {"jobId": "batch-1#0"},
    ):
        record(event("FAILED", stoppedAt=1, **more), account.services)
    assert account.queue.get("job") == before


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"detail-type": "ECS Task State Change", "detail": {}},
        {"detail-type": "Batch Job State Change"},
        event("ASLEEP"),
        {"detail-type": "Batch Job State Change", "detail": {"status": "RUNNING"}},
        event("RUNNING", startedAt="noon"),
    ],
)
def test_what_is_no_job_event_is_refused(bad: dict[str, Any]) -> None:
    account = Account()
    with pytest.raises(RequestError, match="that is no"):
        record(bad, account.services)
