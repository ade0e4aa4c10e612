"""Training on SageMaker from the client and the shell, by the unmodified SDK against the account on this machine."""

from __future__ import annotations

import importlib.util
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from genai_stack import GenAIStack, names
from genai_stack.aws.objects import S3Objects
from genai_stack.cli.run import run
from genai_stack.client.places import Stage
from genai_stack.errors import GenAIStackError, InvalidSpec
from tests.aws.account import Account, Answer, Request
from tests.aws.conftest import MANAGED
from tests.aws.test_stage import CHAT, finished

pytestmark = pytest.mark.usefixtures("quick")
# What the SDK has to say about itself.
NOISE = ["ignore::DeprecationWarning"]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "poll", 0.01)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "letters.jsonl"
    path.write_text(CHAT % "one" + CHAT % "two")
    return path


def orders(aws: Account) -> list[dict[str, Any]]:
    return [json.loads(r.body) for r in aws.seen if r.operation == "CreateTrainingJob"]


def drivers(aws: Account, bucket: str, id: str) -> str:
    """The script that the SDK puts before the job's command."""
    store = S3Objects(bucket)
    (script,) = (o.key for o in store.list(f"jobs/{id}/") if o.key.endswith("/sm_train.sh"))
    return store.get(script).decode()


@pytest.mark.slow
@pytest.mark.filterwarnings(*NOISE)
def test_a_file_becomes_a_model_on_sagemaker(aws: Account, stage: str, fleet: Any, data: Path) -> None:
    with GenAIStack.deployed(stage) as stack:
        job = stack.training.fine_tune(data, epochs=2, on="sagemaker")
        assert stack.training.fine_tune(data, epochs=2).id != job.id
        (order,) = orders(aws)
        spec = f"s3://{fleet.bucket}/jobs/{job.id}/spec.json"
        beside = f"s3://{fleet.bucket}/jobs/{job.id}/sagemaker"
        assert order["TrainingJobName"] == names.training_job(fleet.bucket, job.id)
        assert order["HyperParameters"] == {"spec": spec}
        assert (order["RoleArn"], order["Environment"]) == (MANAGED.role, MANAGED.environment)
        assert order["AlgorithmSpecification"]["TrainingImage"] == MANAGED.image
        assert order["ResourceConfig"] == {
            "InstanceType": "ml.g6e.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 200,
        }  # fmt: skip
        assert order["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400, "MaxWaitTimeInSeconds": 100800}
        assert order["EnableManagedSpotTraining"] is True
        assert order["CheckpointConfig"] == {"S3Uri": f"{beside}/checkpoints"}
        assert order["OutputDataConfig"] == {"S3OutputPath": beside, "CompressionType": "NONE"}
        assert order["RetryStrategy"] == {"MaximumRetryAttempts": 5}
        assert "VpcConfig" not in order
        (channel,) = order["InputDataConfig"]
        assert channel["DataSource"]["S3DataSource"]["S3Uri"].startswith(f"{beside}/")
        script = drivers(aws, fleet.bucket, job.id)
        command = script.partition("exec ")[2].partition("\nSAGEMAKER_BASE_COMMAND_EOF")[0]
        assert shlex.split(command) == [*MANAGED.command, spec]
        told = json.loads(S3Objects(fleet.bucket).get(f"jobs/{job.id}/spec.json"))
        assert (told["method"], told["output"]) == ("lora", f"s3://{fleet.bucket}/jobs/{job.id}/output")

        finished(S3Objects(fleet.bucket), job.id)
        assert stack.training.fine_tune(data, epochs=2, on="sagemaker").id == job.id
        assert job.wait(progress=False).model == f"ft:builtin:letters:{job.id.removeprefix('ftjob-')}"
        assert job.log() == ""
        assert len(orders(aws)) == 1


@pytest.mark.filterwarnings(*NOISE)
def test_several_machines_are_not_on_spot(
    aws: Account, stage: str, fleet: Any, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(data), "--stage", stage, "--on", "sagemaker", "--nodes", "2", "--detach"]
    assert run(arguments) == 0
    id = capsys.readouterr().out.strip()
    (order,) = orders(aws)
    assert (order["ResourceConfig"]["InstanceType"], order["ResourceConfig"]["InstanceCount"]) == (
        "ml.g6e.12xlarge",
        2,
    )
    assert order["EnableManagedSpotTraining"] is False
    assert "MaxWaitTimeInSeconds" not in order["StoppingCondition"]
    assert run(["jobs", "cancel", id, "--stage", stage]) == 0


@pytest.mark.filterwarnings(*NOISE)
def test_a_quota_is_named(aws: Account, stage: str, data: Path) -> None:
    def full(request: Request) -> Answer | None:
        said = b'{"__type": "ResourceLimitExceeded", "message": "the limit for ml.g6e.2xlarge is 0"}'
        told = Answer(400, {"content-type": "application/x-amz-json-1.1"}, said)
        return told if request.operation == "CreateTrainingJob" else None

    with GenAIStack.deployed(stage) as stack, aws.broken(full):
        with pytest.raises(GenAIStackError, match=r"ml\.g6e\.2xlarge is 0; ask for more under Service Quotas"):
            stack.training.fine_tune(data, on="sagemaker")
        (job,) = stack.training.list()
        assert job.state == "failed"


def test_without_the_extra_the_message_names_it(
    aws: Account, stage: str, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name.startswith("sagemaker") else found(name, *more),
    )
    assert run(["train", str(data), "--stage", stage, "--on", "sagemaker"]) == 1
    assert "pip install 'genai-stack[sagemaker]'" in capsys.readouterr().err
    with GenAIStack.deployed(stage) as stack:
        assert stack.training.list() == []
        with pytest.raises(InvalidSpec, match="not on 'mars'"):
            stack.training.fine_tune(data, on="mars")


def test_this_machine_is_no_sagemaker(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(data), "--on", "sagemaker"]) == 2
    assert "add --stage NAME" in capsys.readouterr().err
