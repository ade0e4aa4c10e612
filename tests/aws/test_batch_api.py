"""BatchJobs against moto's Batch over HTTP: what is asked is what the API knows, and retries are the client's own.

moto ends each job as SUCCEEDED at once, so the states in between are left to test_jobs.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore import session as botocore_session
from botocore.validate import validate_parameters

from genai_stack.aws import jobs
from genai_stack.aws.jobs import BatchJobs, Fleet
from genai_stack.aws.objects import S3Objects
from genai_stack.aws.records import DynamoRecords
from genai_stack.errors import GenAIStackError, NotFound, Overloaded
from genai_stack.ports import JobRequest, ModelVersion
from genai_stack.registry import RecordedModels
from tests.aws import fakes
from tests.aws.account import Account, LostAnswer, Request, denied, throttled, times
from tests.contracts.adapters import made_table

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def queue(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Iterator[BatchJobs]:
    monkeypatch.setattr(jobs, "PAUSE_SECONDS", 0.0)
    records, objects = DynamoRecords(fleet.bucket), S3Objects(fleet.bucket)
    queue = BatchJobs(fleet, records, objects, RecordedModels(records))
    yield queue
    for open_one in (queue, records, objects):
        open_one.close()


@pytest.fixture(autouse=True)
def table(aws: Account, tmp_path: Path) -> str:
    return made_table(tmp_path)


def submits(request: Request) -> bool:
    return request.path == "/v1/submitjob"


def in_batch(aws: Account, fleet: Fleet) -> list[dict[str, Any]]:
    batch = aws.client("batch")
    return list(batch.list_jobs(jobQueue=fleet.spot_queue, jobStatus="SUCCEEDED")["jobSummaryList"])


def test_a_job_from_submit_to_model(aws: Account, fleet: Fleet, queue: BatchJobs) -> None:
    version = ModelVersion("ft:builtin:x:1", "", base="builtin")
    S3Objects(fleet.bucket).put("jobs/ftjob-1/output/manifest.json", b"{}")
    S3Objects(fleet.bucket).put("jobs/ftjob-1/output/adapter/weights", b"{}")
    queue.submit(JobRequest("ftjob-1", "train", {"name": "x"}, version))
    (there,) = in_batch(aws, fleet)
    detail = aws.client("batch").describe_jobs(jobs=[there["jobId"]])["jobs"][0]
    assert detail["parameters"] == {"spec": f"s3://{fleet.bucket}/jobs/ftjob-1/spec.json"}
    job = queue.get("ftjob-1")
    assert (job.state, job.model) == ("succeeded", version.name)
    assert job.started is not None
    assert queue.list() == [job] == [queue.submit(JobRequest("ftjob-1", "train", {}))]
    assert queue.cancel("ftjob-1") == job
    registry = RecordedModels(DynamoRecords(fleet.bucket))
    assert registry.get(version.name).source == f"s3://{fleet.bucket}/jobs/ftjob-1/output/adapter"


def test_a_lost_answer_starts_one_job(aws: Account, fleet: Fleet, queue: BatchJobs) -> None:
    with aws.broken(times(1, lambda _: LostAnswer(), submits)) as hit:
        queue.submit(JobRequest("j", "train", {}))
    assert len(hit) == 1
    assert [job["jobName"] for job in in_batch(aws, fleet)] == ["j"]


def test_throttles_are_waited_out(aws: Account, fleet: Fleet, queue: BatchJobs) -> None:
    with aws.broken(times(3, throttled, submits)):
        queue.submit(JobRequest("j", "train", {}))
    with aws.broken(times(4, throttled, lambda r: "describejobs" in r.path)) as hit:
        assert queue.get("j").state == "failed"
    assert len(hit) == 4
    with aws.broken(lambda r: throttled(r) if r.service == "batch" else None), pytest.raises(Overloaded):
        queue.submit(JobRequest("k", "train", {}))


def test_a_refusal_names_the_action(aws: Account, queue: BatchJobs) -> None:
    with (
        aws.broken(lambda r: denied(r) if submits(r) else None),
        pytest.raises(GenAIStackError, match="may not batch:SubmitJob"),
    ):
        queue.submit(JobRequest("j", "train", {}))
    with pytest.raises(GenAIStackError, match="never-registered"):
        queue.submit(JobRequest("k", "evaluate", {}))
    assert [job.state for job in queue.list()] == ["failed", "failed"]


def test_a_log_is_read_once_there_is_one(aws: Account, fleet: Fleet, queue: BatchJobs) -> None:
    with pytest.raises(NotFound):
        queue.log("nobody")
    logs = aws.client("logs")
    queue.submit(JobRequest("j", "train", {}))
    stream = aws.client("batch").describe_jobs(jobs=[in_batch(aws, fleet)[0]["jobId"]])["jobs"][0]
    name = stream["container"]["logStreamName"]
    assert queue.log("j") == ""
    logs.create_log_group(logGroupName="/never-made")
    assert queue.log("j") == ""
    logs.create_log_stream(logGroupName="/never-made", logStreamName=name)
    events = [{"timestamp": int(time.time() * 1000), "message": f"line {n}"} for n in range(3)]
    logs.put_log_events(logGroupName="/never-made", logStreamName=name, logEvents=events)
    assert queue.log("j") == "line 0\nline 1\nline 2\n"
    logs.delete_log_group(logGroupName="/never-made")


def test_what_is_asked_of_batch_is_what_its_api_takes() -> None:
    """moto checks nothing of a multi-node job; botocore's model of the API does."""
    account = fakes.Account()
    model = botocore_session.get_session().get_service_model("batch")
    account.queue.submit(JobRequest("one", "train", {}))
    account.queue.submit(JobRequest("many", "train", {}, nodes=8))
    for order in account.batch.orders:
        validate_parameters(order, model.operation_model("SubmitJob").input_shape)
