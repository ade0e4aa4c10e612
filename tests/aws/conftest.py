from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from genai_stack import names
from genai_stack.aws.host import SageMakerHost
from genai_stack.aws.jobs import Fleet
from genai_stack.managed import ManagedTraining
from tests.aws.account import Account, account
from tests.aws.hosting import Bucket, made
from tests.aws.runtime_stand_in import StandIn
from tests.contracts.adapters import made_bucket, made_table, made_vector_bucket

MANAGED = ManagedTraining(
    role="arn:aws:iam::123456789012:role/managed",
    image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/training:1",
    command=(
        "python3",
        "-c",
        "print('it's')\nprint(\"two  lines\")\n",
        "s3://assets/p.zip",
        "all,train",
        "program",
    ),
    environment={"GENAI_STACK_STAGE": "dev"},
    instance="ml.g6e.2xlarge",
    many_instance="ml.g6e.12xlarge",
    disk_gb=200,
    max_seconds=86400,
    wait_seconds=14400,
    attempts=5,
)
TRUST = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account on this machine; this process's credentials lead there."""
    made = account()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.seen.clear()
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's back-off without the waiting."""
    monkeypatch.setattr("genai_stack.aws.json_client.pause", lambda _: 0.0)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)


@pytest.fixture
def fleet(aws: Account, tmp_path: Path) -> Fleet:
    """A queue and a job definition of this test's own in moto."""
    batch, iam = aws.client("batch"), aws.client("iam")
    bucket = made_bucket(tmp_path)
    name = bucket[-30:]
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    where = batch.create_compute_environment(
        computeEnvironmentName=name, type="UNMANAGED", state="ENABLED", serviceRole=role
    )["computeEnvironmentArn"]
    batch.create_job_queue(
        jobQueueName=name,
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": where}],
    )
    batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={
            "image": "busybox",
            "command": ["run", "Ref::spec"],
            "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}],
        },
    )
    return Fleet(bucket, name, "none", {"train": name, "evaluate": "never-registered"}, {}, "/never-made")


@pytest.fixture
def stage(aws: Account, fleet: Fleet, tmp_path: Path) -> str:
    """The name of a stage whose training stack is deployed, as far as moto goes: what it published leads to things."""
    name, ssm = f"s{fleet.bucket[-12:]}", aws.client("ssm")
    published = {
        "artefact-bucket": fleet.bucket,
        "records-table": made_table(tmp_path),
        "vector-bucket": f"arn:aws:s3vectors:eu-central-1:123456789012:bucket/{made_vector_bucket(tmp_path)}",
        "spot-queue": fleet.spot_queue,
        "multi-node-queue": fleet.multi_node_queue,
        "train-definition": fleet.definitions["train"],
        "train-multi-node-definition": "multi",
        "evaluate-definition": fleet.definitions["train"],
        "batch-definition": fleet.definitions["train"],
        "log-group": fleet.log_group,
        "sagemaker": msgspec.json.encode(MANAGED).decode(),
    }
    for what, value in published.items():
        ssm.put_parameter(Name=names.parameter(name, "training", what), Value=value, Type="String")
    return name


@pytest.fixture(scope="module")
def standing() -> Iterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    stand_in.close()


@pytest.fixture
def upstream(aws: Account, standing: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", standing.url)
    standing.calls.clear()
    standing.arrived.clear()
    standing.gone.clear()
    standing.script = None
    return standing


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
async def host(upstream: StandIn, bucket: Bucket) -> AsyncIterator[SageMakerHost]:
    host = made(bucket)
    yield host
    await host.close()
