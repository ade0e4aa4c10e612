"""What the stack publishes about SageMaker training jobs, and that it fits what starts them."""

from __future__ import annotations

from pathlib import Path

import msgspec

import cdk.constructs
from genai_stack.managed import ManagedTraining
from tests.cdk.templates import Template, of_type, text
from tests.cdk.test_jobs import KINDS, container

PARAMETER_BYTES = 4096
"""Of a standard SSM parameter's value."""


def published(template: Template, stage: str) -> ManagedTraining:
    name = f"/genai-stack/{stage}/training/sagemaker"
    (value,) = (p["Value"] for p in of_type(template, "SSM::Parameter").values() if p["Name"] == name)
    assert len(text(value)) < PARAMETER_BYTES
    return msgspec.json.decode(text(value), type=ManagedTraining)


def test_a_client_reads_how_to_start_one(template: Template) -> None:
    managed = published(template, "dev")
    assert managed.role == "<RolesManaged.Arn>"
    assert managed.image.endswith(
        "/huggingface-pytorch-training:2.11-transformers5.13-cu130-amzn2023-sagemaker"
    )
    python, option, script, program, packages, module = managed.command
    assert (python, option) == ("python3", "-c")
    assert script == (Path(cdk.constructs.__file__).parent / "boot.py").read_text()
    assert program.startswith("s3://cdk-hnb659fds-assets-")
    assert (packages, module) == ("all,train", "genai_stack.training.keeper")
    assert managed.environment["GENAI_STACK_STAGE"] == "dev"
    assert "MLFLOW_TRACKING_URI" not in managed.environment
    assert managed.environment["AWS_DEFAULT_REGION"] == "<AWS::Region>"
    assert (managed.instance, managed.many_instance) == ("ml.g6e.2xlarge", "ml.g6e.12xlarge")
    assert (managed.disk_gb, managed.attempts) == (200, 5)
    assert (managed.max_seconds, managed.wait_seconds) == (24 * 3600, 4 * 3600)
    assert (managed.subnets, managed.group, managed.many_group) == ((), None, None)


def test_private_machines_stay_private(reserved: Template) -> None:
    managed = published(reserved, "prod")
    assert len(managed.subnets) == 3
    assert len({managed.group, managed.many_group, None}) == 3
    assert managed.environment["MLFLOW_TRACKING_URI"] == "https://mlflow.example.com"
    assert managed.image == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1"


def test_every_job_knows_the_server_that_is_named(reserved: Template) -> None:
    named = {"Name": "MLFLOW_TRACKING_URI", "Value": "https://mlflow.example.com"}
    for kind in KINDS:
        assert named in container(reserved, kind)["Environment"]
