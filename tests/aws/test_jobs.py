"""BatchJobs: one Batch job for one submit whatever breaks, states that only move forward, and ends that are final."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from genai_stack.aws import jobs
from genai_stack.aws.job_records import LEASE_SECONDS
from genai_stack.aws.observed import CANCELLED
from genai_stack.errors import GenAIStackError, NotFound, Overloaded, RequestError
from genai_stack.ports import Job, JobRequest, ModelVersion
from tests.aws.fakes import Account

MODEL = ModelVersion("ft:builtin:shop:1", "", base="builtin", job="ftjob-1")
TRAIN = JobRequest("ftjob-1", "train", {"name": "shop"}, MODEL)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    monkeypatch.setattr(jobs, "PAUSE_SECONDS", 0.0)
    return Account()


def refused(code: str, status: int = 400) -> ClientError:
    said: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "SubmitJob")


def lost() -> ReadTimeoutError:
    return ReadTimeoutError(endpoint_url="batch")


def expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the one who was submitting had been gone for longer than its lease."""
    now = jobs.time.time()
    monkeypatch.setattr(jobs.time, "time", lambda: now + LEASE_SECONDS + 1)


def test_a_submit_says_to_batch_what_the_seams_say(account: Account) -> None:
    job = account.queue.submit(TRAIN)
    assert (job.state, job.output) == ("queued", "s3://artefacts/jobs/ftjob-1/output")
    assert account.batch.orders == [
        {
            "jobName": "ftjob-1",
            "jobQueue": "spot",
            "jobDefinition": "train-def",
            "parameters": {"spec": "s3://artefacts/jobs/ftjob-1/spec.json"},
        }
    ]
    spec = json.loads(account.objects.get("jobs/ftjob-1/spec.json"))
    assert spec == {"name": "shop", "output": "s3://artefacts/jobs/ftjob-1/output"}
    assert job.spec == {"name": "shop"}


def test_several_nodes_take_the_other_queue(account: Account) -> None:
    account.queue.submit(JobRequest("many", "train", {}, nodes=4))
    (order,) = account.batch.orders
    assert (order["jobQueue"], order["jobDefinition"]) == ("multi", "train-multi-def")
    assert order["nodeOverrides"] == {"numNodes": 4}
    for request, says in (
        (JobRequest("j", "evaluate", {}, nodes=2), "runs on one node; several nodes share: train"),
        (JobRequest("j", "train", {}, nodes=0), "1 node or more"),
        (JobRequest("-j", "train", {}), "begins with a letter or digit"),
        (JobRequest("j", "bake", {}), "there are: evaluate, train"),
    ):
        with pytest.raises(RequestError, match=says):
            account.queue.submit(request)
    assert len(account.queue.list()) == 1


@pytest.mark.parametrize("effect", [True, False], ids=["arrived", "never arrived"])
@pytest.mark.parametrize("error", [lost(), refused("ThrottlingException"), refused("InternalError", 500)])
def test_a_submit_whose_answer_is_lost_starts_one_job(
    account: Account, error: BaseException, effect: bool
) -> None:
    account.batch.broken, account.batch.effect = [error, error], effect
    account.queue.submit(TRAIN)
    assert len(account.batch.jobs) == 1
    account.says("batch-1", "RUNNING", startedAt=5000)
    assert account.queue.get("ftjob-1").started == 5.0


def test_a_batch_that_stays_away_leaves_the_job_to_the_next_submit(account: Account) -> None:
    account.batch.broken, account.batch.effect = [lost()] * jobs.SUBMITS, False
    with pytest.raises(GenAIStackError, match="can't reach AWS Batch"):
        account.queue.submit(TRAIN)
    assert account.queue.list()[0].state == "queued"
    account.batch.broken = [refused("TooManyRequestsException")] * jobs.SUBMITS
    with pytest.raises(Overloaded):
        account.queue.submit(TRAIN)
    assert account.again().submit(TRAIN).state == "queued"
    assert len(account.batch.orders) == 1


def test_what_batch_refuses_has_failed_and_says_why(account: Account) -> None:
    account.batch.broken, account.batch.effect = [refused("AccessDeniedException")], False
    with pytest.raises(GenAIStackError, match="may not batch:SubmitJob on AWS Batch"):
        account.queue.submit(TRAIN)
    job = account.queue.get("ftjob-1")
    assert job.state == "failed"
    assert "batch:SubmitJob" in (job.error or "")


def test_a_closed_queue_says_how_to_open_it(account: Account) -> None:
    account.batch.broken, account.batch.effect, account.batch.queues = (
        [refused("ClientException")],
        False,
        "DISABLED",
    )
    with pytest.raises(GenAIStackError, match=r"\[training\.budget\] is spent") as told:
        account.queue.submit(TRAIN)
    assert told.value.message.endswith(
        "reopen it with: aws batch update-compute-environment --compute-environment arn:machines --state ENABLED"
        " && aws batch update-job-queue --job-queue spot --state ENABLED"
    )
    assert account.queue.get("ftjob-1").error == told.value.message


@pytest.mark.parametrize("effect", [True, False], ids=["after SubmitJob", "before SubmitJob"])
def test_a_killed_submit_is_finished_by_whoever_looks_next(
    account: Account, monkeypatch: pytest.MonkeyPatch, effect: bool
) -> None:
    account.batch.broken, account.batch.effect = [KeyboardInterrupt()], effect
    with pytest.raises(KeyboardInterrupt):
        account.queue.submit(TRAIN)
    assert account.again().get("ftjob-1").state == "queued"
    assert len(account.batch.orders) == effect
    expired(monkeypatch)
    threads = [threading.Thread(target=account.again().get, args=("ftjob-1",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(account.batch.orders) == 1
    account.says("batch-1", "RUNNING", startedAt=5000)
    assert account.queue.get("ftjob-1").state == "running"


def test_a_name_that_differs_in_case_is_another_job(account: Account) -> None:
    account.queue.submit(JobRequest("JOB", "train", {}))
    account.batch.broken = [lost()]
    account.queue.submit(JobRequest("job", "train", {}))
    assert [order["jobName"] for order in account.batch.orders] == ["JOB", "job"]


def test_states_only_move_forward(account: Account) -> None:
    account.queue.submit(TRAIN)

    def after(status: str, **more: Any) -> Job:
        account.says("batch-1", status, **more)
        return account.queue.get("ftjob-1")

    assert [after(status).state for status in ("PENDING", "RUNNABLE", "STARTING")] == ["queued"] * 3
    first = {"startedAt": 10_000, "stoppedAt": 12_000, "container": {"exitCode": 75, "logStreamName": "one"}}
    assert after("RUNNING", startedAt=10_000).started == 10.0
    job = after("RUNNABLE", startedAt=None, attempts=[first], statusReason="Host EC2 terminated")
    assert (job.state, job.started, job.error) == ("running", 10.0, None)
    last = {"startedAt": 20_000, "stoppedAt": 30_000, "container": {"exitCode": 0, "logStreamName": "two"}}
    account.leaves("ftjob-1", "manifest.json", "adapter/weights")
    job = after("SUCCEEDED", startedAt=20_000, stoppedAt=30_000, attempts=[first, last])
    assert (job.state, job.started, job.finished, job.model) == ("succeeded", 10.0, 30.0, MODEL.name)
    assert account.registry.get(MODEL.name).source == "s3://artefacts/jobs/ftjob-1/output/adapter"
    assert after("FAILED") == job
    looks = len(account.batch.described)
    assert account.queue.get("ftjob-1") == job
    assert len(account.batch.described) == looks


@pytest.mark.parametrize(
    ("detail", "says"),
    [
        ({"attempts": [{"container": {"exitCode": 1}}]}, "the program ended with exit code 1"),
        ({"attempts": [{"container": {"exitCode": 139}}]}, "signal SIGSEGV"),
        (
            {
                "container": {
                    "exitCode": 137,
                    "reason": "OutOfMemoryError: Container killed due to memory usage",
                }
            },
            "signal SIGKILL; OutOfMemoryError: Container killed due to memory usage",
        ),
        ({"statusReason": "Host EC2 (instance i-0) terminated."}, "Host EC2 (instance i-0) terminated"),
        ({}, "Batch doesn't say why"),
    ],
)
def test_a_failure_says_why(account: Account, detail: dict[str, Any], says: str) -> None:
    account.queue.submit(TRAIN)
    account.says("batch-1", "FAILED", stoppedAt=30_000, **detail)
    job = account.queue.get("ftjob-1")
    assert job.state == "failed"
    assert says in (job.error or "")


def test_the_last_attempts_own_words_go_before_batchs(account: Account) -> None:
    account.queue.submit(TRAIN)
    early = b'{"level": "error", "message": "an old one", "time": 100}\n'
    attempt = {"startedAt": 1_000_000, "stoppedAt": 1_100_000, "container": {"exitCode": 2}}
    account.leaves("ftjob-1", "events.jsonl", data=early)
    account.says("batch-1", "FAILED", attempts=[attempt])
    again = JobRequest("other", "train", {})
    account.queue.submit(again)
    account.leaves(
        "other", "events.jsonl", data=early + b'{"level": "error", "message": "mine", "time": 1090}\n{"le'
    )
    account.says("batch-2", "FAILED", attempts=[attempt])
    assert account.queue.get("ftjob-1").error == "the program ended with exit code 2"
    assert account.queue.get("other").error == "mine"
    assert [event["time"] for event in account.queue.events("other", after=1)] == [1090]


def test_a_result_is_what_was_promised(account: Account) -> None:
    account.queue.submit(TRAIN)
    account.says("batch-1", "SUCCEEDED", stoppedAt=1)
    assert "without writing manifest.json" in (account.queue.get("ftjob-1").error or "")
    account.queue.submit(JobRequest("two", "train", {}, MODEL))
    account.leaves("two", "manifest.json")
    account.says("batch-2", "SUCCEEDED", stoppedAt=1)
    assert "neither adapter nor model" in (account.queue.get("two").error or "")


def test_a_name_that_is_taken_gets_another_version(account: Account) -> None:
    account.registry.register(ModelVersion(MODEL.name, "/elsewhere"))
    account.queue.submit(JobRequest("three", "train", {}, MODEL))
    account.leaves("three", "manifest.json", "model/weights")
    account.says("batch-1", "SUCCEEDED", stoppedAt=1)
    assert account.queue.get("three").model == MODEL.name
    made = account.registry.versions(MODEL.name)
    assert [(v.source, v.approval) for v in made] == [
        ("/elsewhere", "approved"),
        ("s3://artefacts/jobs/three/output/model", "pending"),
    ]
    assert account.registry.get(MODEL.name).version == 1


def test_a_whole_model_waits_as_the_next_version_of_its_base(account: Account) -> None:
    whole = ModelVersion("ft:builtin:x:2", "", job="whole", data="d" * 64, parent="builtin@0")
    account.queue.submit(JobRequest("whole", "train", {}, whole))
    account.leaves("whole", "manifest.json", "model/weights")
    account.says("batch-1", "SUCCEEDED", stoppedAt=1)
    assert account.queue.get("whole").model == whole.name
    live, waiting = account.registry.versions("builtin")
    assert (account.registry.get("builtin"), waiting.approval) == (live, "pending")
    assert (waiting.source, waiting.job, waiting.data, waiting.parent) == (
        "s3://artefacts/jobs/whole/output/model",
        "whole",
        "d" * 64,
        "builtin@0",
    )


def test_many_who_see_the_end_register_one_model(account: Account) -> None:
    account.queue.submit(TRAIN)
    account.leaves("ftjob-1", "manifest.json", "adapter/weights")
    account.says("batch-1", "SUCCEEDED", startedAt=1000, stoppedAt=2000)
    seen: list[Job] = []
    threads = [threading.Thread(target=lambda: seen.append(account.again().get("ftjob-1"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [job.model for job in seen] == [MODEL.name] * 6
    assert [version.name for version in account.registry.list()].count(MODEL.name) == 1


def test_cancel_is_final(account: Account) -> None:
    account.queue.submit(TRAIN)
    account.says("batch-1", "RUNNING", startedAt=1000)
    assert account.queue.cancel("ftjob-1").state == "cancelled"
    assert account.batch.ended == [("batch-1", CANCELLED)]
    account.leaves("ftjob-1", "manifest.json", "adapter/weights")
    account.says("batch-1", "SUCCEEDED", stoppedAt=9000)
    assert account.again().get("ftjob-1").state == "cancelled"
    assert account.again().submit(TRAIN).state == "cancelled"
    with pytest.raises(NotFound):
        account.registry.get(MODEL.name)


def test_a_cancel_that_was_cut_off_shows_in_what_batch_says(account: Account) -> None:
    account.queue.submit(TRAIN)
    account.says("batch-1", "FAILED", statusReason=CANCELLED, stoppedAt=9000)
    job = account.queue.get("ftjob-1")
    assert (job.state, job.error, job.finished) == ("cancelled", None, 9.0)
    account.queue.submit(JobRequest("two", "train", {}))
    account.says("batch-2", "FAILED", statusReason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY", stoppedAt=9000)
    job = account.queue.get("two")
    assert (job.state, job.error) == ("failed", "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY")


def test_a_job_that_ended_before_its_cancel_keeps_its_end(account: Account) -> None:
    account.queue.submit(JobRequest("j", "evaluate", {}))
    account.leaves("j", "manifest.json")
    account.says("batch-1", "SUCCEEDED", stoppedAt=9000)
    assert account.queue.cancel("j").state == "succeeded"
    assert account.batch.ended == []


def test_a_cancel_while_the_submit_is_under_way_ends_the_job(account: Account) -> None:
    submit = account.batch.submit_job

    def slow(**order: Any) -> dict[str, Any]:
        assert account.again().cancel("ftjob-1").state == "cancelled"
        return submit(**order)

    account.batch.submit_job = slow  # type: ignore[method-assign]
    assert account.queue.submit(TRAIN).state == "cancelled"
    assert account.batch.ended == [("batch-1", CANCELLED)]


def test_a_job_whose_submitter_died_can_be_cancelled(account: Account) -> None:
    account.batch.broken = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        account.queue.submit(TRAIN)
    assert account.again().cancel("ftjob-1").state == "cancelled"
    assert account.batch.ended == [("batch-1", CANCELLED)]


def test_what_batch_has_forgotten_is_known_by_what_it_left(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.queue.submit(TRAIN)
    account.queue.submit(JobRequest("two", "train", {}))
    account.leaves("ftjob-1", "manifest.json", "model/weights")
    account.batch.jobs.clear()
    assert account.queue.get("two").state == "queued"
    now = jobs.time.time()
    monkeypatch.setattr(jobs.time, "time", lambda: now + jobs.KEPT_SECONDS + 1)
    assert account.queue.get("ftjob-1").model == MODEL.name
    assert "doesn't know this job any more" in (account.queue.get("two").error or "")


def test_a_listing_asks_once_for_many(account: Account) -> None:
    for number in range(130):
        account.queue.submit(JobRequest(f"j{number}", "train", {}))
    account.batch.described.clear()
    found = account.queue.list(limit=120)
    assert [job.id for job in found] == [f"j{n}" for n in range(129, 9, -1)]
    assert [len(asked) for asked in account.batch.described] == [100, 20]


def test_a_log_is_read_from_where_it_was_left(account: Account) -> None:
    account.queue.submit(TRAIN)
    assert account.queue.log("ftjob-1") == ""
    account.logs.streams["one"] = [["a", "b"], [], ["c"]]
    account.says("batch-1", "RUNNING", startedAt=1000, container={"logStreamName": "one"})
    assert account.queue.log("ftjob-1") == "a\nb\nc\n"
    account.logs.streams["one"].append(["d"])
    account.logs.asked.clear()
    assert account.queue.log("ftjob-1") == "a\nb\nc\nd\n"
    assert account.logs.asked == ["3", "4"]
    account.logs.streams["two"] = [["again"]]
    account.says("batch-1", "RUNNING", startedAt=2000, container={"logStreamName": "two"})
    assert account.queue.log("ftjob-1") == "again\n"


def test_the_log_of_several_nodes_is_the_main_ones(account: Account) -> None:
    account.queue.submit(JobRequest("many", "train", {}, nodes=2))
    assert account.queue.log("many") == ""
    account.says("batch-1", "RUNNING", startedAt=1000, nodeProperties={"mainNode": 1})
    account.batch.jobs["batch-1#1"] = {
        "jobName": "many",
        "jobId": "batch-1#1",
        "status": "RUNNING",
        "jobQueue": "multi",
        "container": {"logStreamName": "main"},
    }
    account.logs.streams["main"] = [["rank 0"]]
    assert account.queue.log("many") == "rank 0\n"
