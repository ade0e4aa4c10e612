"""TrainingJobs: one training job for one submit, states that only move forward, ends that are final, beside Batch."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_stack import names
from genai_stack.aws.job_events import record
from genai_stack.aws.job_records import JobEntry, JobRecords
from genai_stack.aws.model_trainer import Refused
from genai_stack.aws.stage_jobs import StageJobs
from genai_stack.aws.training_jobs import TrainingJobs
from genai_stack.errors import GenAIStackError, NotFound, RequestError
from genai_stack.ports import JobRequest, ModelVersion
from tests.aws.conftest import MANAGED
from tests.aws.fakes import Account

MODEL = ModelVersion("ft:builtin:shop:1", "", base="builtin", job="ftjob-1")
TRAIN = JobRequest("ftjob-1", "train", {"name": "shop"}, MODEL, on="sagemaker")
NAME = names.training_job("artefacts", "ftjob-1")


def refused(operation: str) -> ClientError:
    said: Any = {"Error": {"Code": "ValidationException", "Message": "Requested resource not found."}}
    return ClientError(said, operation)


class HandSageMaker:
    """`jobs` are DescribeTrainingJob's answers by name; a test says what SageMaker says."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.stopped: list[str] = []
        self.broken: list[Exception] = []
        self.started: list[str] = []

    def start(self, managed: Any, bucket: str, entry: JobEntry) -> None:
        name = names.training_job(bucket, entry.id)
        self.started.append(name)
        if self.broken:
            raise self.broken.pop()
        spec = f"s3://{bucket}/jobs/{entry.id}/spec.json"
        about = {"TrainingJobStatus": "InProgress", "HyperParameters": {"spec": spec}}
        self.jobs.setdefault(name, {"TrainingJobName": name, **about})

    def describe_training_job(self, *, TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName not in self.jobs:
            raise refused("DescribeTrainingJob")
        return self.jobs[TrainingJobName]

    def stop_training_job(self, *, TrainingJobName: str) -> None:
        if self.jobs[TrainingJobName]["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            raise refused("StopTrainingJob")
        self.stopped.append(TrainingJobName)

    def close(self) -> None:
        """Nothing is open."""


class Stage:
    def __init__(self) -> None:
        self.account, self.sagemaker = Account(), HandSageMaker()
        self.missing: list[GenAIStackError] = []
        a = self.account
        self.training = TrainingJobs(
            lambda: MANAGED, "artefacts", a.records, a.objects, a.registry,  # type: ignore[arg-type]
            sagemaker=self.sagemaker, logs=a.logs, require=self._require, start=self.sagemaker.start,
        )  # fmt: skip
        self.queue = StageJobs(a.records, a.queue, self.training)  # type: ignore[arg-type]

    def _require(self) -> None:
        for error in self.missing:
            raise error

    def says(self, status: str, **more: Any) -> None:
        self.sagemaker.jobs[NAME] |= {"TrainingJobStatus": status, **more}


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_name_tells_stages_apart_and_fills_what_sagemaker_takes() -> None:
    for id in ("a", "ftjob-0123456789ab", "x" * 64, "under_score_"):
        name = names.training_job("bucket", id)
        assert len(name) == 63
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert name[0] != "-" != name[-1]
        assert name != names.training_job("other", id)


def test_the_spec_lies_there_before_the_job_is_started_once(stage: Stage) -> None:
    job = stage.queue.submit(TRAIN)
    assert (job.state, job.output) == ("queued", "s3://artefacts/jobs/ftjob-1/output")
    spec = json.loads(stage.account.objects.get("jobs/ftjob-1/spec.json"))
    assert spec == {"name": "shop", "output": "s3://artefacts/jobs/ftjob-1/output"}
    assert stage.queue.submit(TRAIN) == stage.queue.get("ftjob-1") == job
    assert stage.sagemaker.started == [NAME]
    assert stage.account.batch.orders == []


def test_a_job_runs_and_registers_its_model(stage: Stage) -> None:
    stage.queue.submit(TRAIN)
    stage.says("InProgress", TrainingStartTime=datetime(2026, 1, 1, tzinfo=UTC))
    job = stage.queue.get("ftjob-1")
    assert (job.state, job.started) == ("running", datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    stage.account.leaves("ftjob-1", "manifest.json", "adapter/weights")
    stage.says("Completed", TrainingEndTime=datetime(2026, 1, 2, tzinfo=UTC))
    (job,) = stage.queue.list()
    assert (job.state, job.model) == ("succeeded", MODEL.name)
    assert stage.account.registry.get(MODEL.name).source == "s3://artefacts/jobs/ftjob-1/output/adapter"


@pytest.mark.parametrize(("status", "more", "state", "says"), [
    ("Failed", {"FailureReason": "AlgorithmError: exit code 1"}, "failed", "exit code 1"),
    ("Failed", {}, "failed", "its log"),
    ("Completed", {}, "failed", "manifest.json"),
    ("Stopped", {"SecondaryStatus": "Stopped"}, "cancelled", ""),
    ("Stopped", {"SecondaryStatus": "MaxRuntimeExceeded"}, "failed", "max_hours"),
    ("Stopped", {"SecondaryStatus": "MaxWaitTimeExceeded"}, "failed", "capacity_wait_minutes"),
])  # fmt: skip
def test_every_end_is_told(stage: Stage, status: str, more: dict[str, str], state: str, says: str) -> None:
    stage.queue.submit(TRAIN)
    stage.says(status, **more)
    job = stage.queue.get("ftjob-1")
    assert job.state == state
    assert says in (job.error or "")


def test_cancelling_stops_the_work_and_is_final(stage: Stage) -> None:
    stage.queue.submit(TRAIN)
    assert stage.queue.cancel("ftjob-1").state == "cancelled"
    assert stage.sagemaker.stopped == [NAME]
    stage.account.leaves("ftjob-1", "manifest.json", "adapter/weights")
    stage.says("Completed")
    assert stage.queue.get("ftjob-1").state == "cancelled"
    assert stage.queue.cancel("ftjob-1").state == "cancelled"
    assert stage.sagemaker.stopped == [NAME]


def test_what_has_ended_before_it_was_cancelled_has_ended(stage: Stage) -> None:
    stage.queue.submit(TRAIN)
    stage.account.leaves("ftjob-1", "manifest.json", "adapter/weights")
    stage.says("Completed")
    assert stage.queue.cancel("ftjob-1").state == "succeeded"


def test_a_submit_that_was_cut_off_is_finished_by_the_next(stage: Stage) -> None:
    stage.sagemaker.broken = [GenAIStackError("can't reach SageMaker")]
    with pytest.raises(GenAIStackError, match="can't reach"):
        stage.queue.submit(TRAIN)
    assert stage.queue.submit(TRAIN).state == "queued"
    assert stage.sagemaker.started == [NAME, NAME]
    assert len(stage.sagemaker.jobs) == 1


def test_a_job_that_was_started_unheard_is_adopted(stage: Stage) -> None:
    def unheard(*order: Any) -> None:
        HandSageMaker.start(stage.sagemaker, *order)
        raise KeyboardInterrupt

    stage.training._begin = unheard
    with pytest.raises(KeyboardInterrupt):
        stage.queue.submit(TRAIN)
    stage.says("InProgress", TrainingStartTime=1)
    assert stage.queue.get("ftjob-1").state == "running"
    assert stage.sagemaker.started == [NAME]


def test_a_refusal_is_a_failed_job(stage: Stage) -> None:
    stage.sagemaker.broken = [Refused(GenAIStackError("over the quota"))]
    with pytest.raises(GenAIStackError, match="over the quota"):
        stage.queue.submit(TRAIN)
    job = stage.queue.get("ftjob-1")
    assert (job.state, job.error) == ("failed", "over the quota")


def test_without_the_sdk_there_is_no_job(stage: Stage) -> None:
    stage.missing = [GenAIStackError("pip install 'genai-stack[sagemaker]'")]
    with pytest.raises(GenAIStackError, match="pip install"):
        stage.queue.submit(TRAIN)
    assert stage.queue.list() == []


def test_what_does_not_run_there_is_refused(stage: Stage) -> None:
    for request, says in (
        (JobRequest("j", "batch", {}, on="sagemaker"), "kind 'train', not 'batch'"),
        (JobRequest("j", "train", {}, nodes=0, on="sagemaker"), "1 node or more"),
        (JobRequest("-j", "train", {}, on="sagemaker"), "begins with a letter or digit"),
        (JobRequest("j", "train", {}, on="mars"), "runs no jobs on 'mars'"),
    ):
        with pytest.raises(RequestError, match=says):
            stage.queue.submit(request)
    with pytest.raises(NotFound):
        stage.queue.get("j")


def test_both_kinds_stand_in_one_list_and_each_is_asked_of_its_own(stage: Stage) -> None:
    stage.queue.submit(TRAIN)
    stage.queue.submit(JobRequest("ftjob-2", "train", {}))
    stage.says("Failed")
    stage.account.says("batch-1", "RUNNING", startedAt=1000)
    assert [(job.id, job.state) for job in stage.queue.list()] == [
        ("ftjob-2", "running"),
        ("ftjob-1", "failed"),
    ]
    assert stage.account.batch.described == [["batch-1"]]
    stage.queue.cancel("ftjob-2")
    assert (len(stage.account.batch.ended), stage.sagemaker.stopped) == (1, [])


def test_the_log_is_the_last_container_s(stage: Stage) -> None:
    stage.queue.submit(TRAIN)
    asked: list[dict[str, str]] = []

    def streams(**question: str) -> dict[str, Any]:
        asked.append(question)
        names = [(1, f"{NAME}/algo-1-100"), (2, f"{NAME}/algo-1-200")]
        return {"logStreams": [{"creationTime": at, "logStreamName": name} for at, name in names]}

    stage.account.logs.describe_log_streams = streams  # type: ignore[attr-defined]
    stage.account.logs.streams = {f"{NAME}/algo-1-200": [["again", "done"]]}
    assert stage.queue.log("ftjob-1") == "again\ndone\n"
    assert asked == [{"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": f"{NAME}/algo-1-"}]


def event(status: str, **more: Any) -> dict[str, Any]:
    spec = {"spec": "s3://artefacts/jobs/ftjob-1/spec.json"}
    detail = {"TrainingJobName": NAME, "TrainingJobStatus": status, "HyperParameters": spec, **more}
    return {"source": "aws.sagemaker", "detail-type": "SageMaker Training Job State Change", "detail": detail}


def told(events: list[dict[str, Any]]) -> Any:
    account = Account()
    jobs = JobRecords(account.records)  # type: ignore[arg-type]
    jobs.create(TRAIN, "s3://artefacts/jobs/ftjob-1/output", 0.0)
    account.leaves("ftjob-1", "manifest.json", "adapter/weights")
    for one in events:
        record(one, account.services)
    models = [version for version in account.registry.list() if version.name == MODEL.name]
    return msgspec.structs.replace(jobs.get("ftjob-1"), created=0.0), len(models)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), end=st.sampled_from(["Completed", "Failed", "Stopped"]))
def test_any_order_of_events_and_any_repetition_end_in_the_same_record(data: st.DataObject, end: str) -> None:
    story = [
        event("InProgress", SecondaryStatus="Starting"),
        event("InProgress", SecondaryStatus="Training", TrainingStartTime="1000000"),
        event("Stopping", TrainingStartTime=1000000),
        event(end, TrainingStartTime=1000000, TrainingEndTime="2000000"),
    ]
    more = data.draw(st.lists(st.sampled_from(story), max_size=4))
    expected, models = told(story)
    assert told(data.draw(st.permutations(story + more))) == (expected, models)
    assert expected.state == {"Completed": "succeeded", "Failed": "failed", "Stopped": "cancelled"}[end]
    assert (expected.started, expected.finished, expected.batch) == (1000.0, 2000.0, NAME)
    assert models == (end == "Completed")


def test_training_jobs_that_are_not_ours_change_nothing() -> None:
    before, _ = told([])
    others = [
        event("Failed", TrainingJobName="somebody-elses"),
        event("Failed", HyperParameters={}),
        event("Failed", HyperParameters={"spec": "s3://another/jobs/ftjob-1/spec.json"}),
        event("Failed", HyperParameters={"spec": "s3://artefacts/elsewhere"}),
    ]
    assert told(others) == (before, 0)
    for bad in (event("Asleep"), event("Failed", TrainingJobName=7)):
        with pytest.raises(RequestError, match="that is no training job"):
            told([bad])
