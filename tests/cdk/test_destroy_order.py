"""What `genai-stack destroy` does with jobs, and with what isn't the stage's."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import msgspec
import pytest

from genai_stack import names, wiring
from genai_stack.aws.published import read
from genai_stack.aws.removal.stage import StageRemoval
from genai_stack.cli.run import run
from genai_stack.errors import NotDeployedError
from genai_stack.ports import Job, Services
from tests.cdk.standing import deployed
from tests.cdk.test_deployment import deploy


def test_jobs_end_before_their_stack_goes(assembly: Path) -> None:
    ended: list[str] = []

    class Jobs:
        def list(self, *, after: str | None = None, limit: int = 100) -> list[Job]:
            states = {"one": "running", "two": "succeeded", "three": "queued"}
            return [Job(id, "train", state, 0.0, {}, "") for id, state in states.items() if id not in ended]  # type: ignore[arg-type]

        def cancel(self, id: str) -> None:
            assert names.deployed_stack("dev", "training") in stand.stacks()
            assert names.deployed_stack("dev", "service") not in stand.stacks()
            ended.append(id)

    def services(stage: str) -> Services:
        return msgspec.structs.replace(wiring.aws_jobs(stage), jobs=Jobs())  # type: ignore[arg-type]

    with deployed() as stand:
        for layer in ("training", "service"):
            deploy(assembly, names.cloudformation_stack(layer), names.deployed_stack("dev", layer))  # type: ignore[arg-type]
        removal = StageRemoval("dev", services, pause=lambda _: None)
        plan = removal.plan()
        assert (plan.jobs, plan.models) == (("one", "three"), ())
        steps: list[str] = []
        removal.remove(lambda step, done, total: steps.append(step))
        assert ended == ["one", "three"]
        assert list(dict.fromkeys(steps)) == ["GenaiStack-Service-dev", "jobs", "GenaiStack-Training-dev"]
        with pytest.raises(NotDeployedError):
            read("dev", "training", "artefact-bucket")


def test_a_stack_of_somebody_else_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    with deployed() as stand:
        boto3.client("cloudformation").create_stack(
            StackName="GenaiStack-Training-dev", TemplateBody=json.dumps(template)
        )
        assert run(["destroy", "--stage", "dev", "--yes", "--with-data"]) == 1
        assert "it isn't this stage's" in capfd.readouterr().err
        assert stand.stacks() == ["GenaiStack-Training-dev"]
