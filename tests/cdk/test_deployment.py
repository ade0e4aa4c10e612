"""The stack, deployed into moto: references resolve, and the package finds what was published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto.cloudformation.parsing as parsing
import pytest
from moto.sns.models import sns_backends

from genai_stack.aws.published import read
from genai_stack.aws.spending import FLEETS, close_queues
from genai_stack.errors import GenAIStackError, NotDeployedError
from tests.cdk.account import KNOWN, PLACEHOLDERS, account
from tests.cdk.conftest import NAME, read_template
from tests.cdk.templates import Template

STACK = "GenaiStack-Training-dev"
ASSETS = "cdk-hnb659fds-assets-123456789012-us-east-1"
PUBLISHED = (
    *("artefact-bucket", "records-table", "spot-queue", "multi-node-queue", "train-definition"),
    *("train-multi-node-definition", "evaluate-definition", "batch-definition", "log-group", "alarm-topic"),
    *("spot-environment", "multi-node-environment", "sagemaker"),
)


def bootstrap() -> None:
    """What `cdk bootstrap` leaves in an account, as far as templates look at it."""
    boto3.client("ssm").put_parameter(Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String")
    boto3.client("s3").create_bucket(Bucket=ASSETS)


def deploy(assembly: Path, name: str, stack_name: str) -> dict[str, str]:
    """Deploys a stack of `assembly` with its assets; its outputs."""
    files = json.loads((assembly / f"{name}.assets.json").read_text())["files"]
    for asset in files.values():
        (destination,) = asset["destinations"].values()
        boto3.client("s3").put_object(
            Bucket=ASSETS, Key=destination["objectKey"], Body=b"PK\x05\x06" + b"\0" * 18
        )
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack_name,
        TemplateBody=json.dumps(read_template(assembly, name)),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Tags=[{"Key": key, "Value": value} for key, value in _tags(assembly, name).items()],
    )
    (stack,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _tags(assembly: Path, name: str) -> dict[str, str]:
    manifest = json.loads((assembly / "manifest.json").read_text())
    return manifest["artifacts"][name]["properties"]["tags"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def deployed(template: Template, assembly: Path) -> Iterator[dict[str, str]]:
    """The stack's outputs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with account():
            known = {resource["Type"] for resource in template["Resources"].values()}
            assert known <= set(parsing.get_model_map())
            bootstrap()
            yield deploy(assembly, NAME, STACK)


def test_every_placeholder_is_needed(template: Template) -> None:
    types = {resource["Type"] for resource in template["Resources"].values()}
    assert set(PLACEHOLDERS) <= types
    assert not set(PLACEHOLDERS) & KNOWN


def test_the_package_finds_what_was_published(deployed: dict[str, str]) -> None:
    found = {what: read("dev", "training", what) for what in PUBLISHED}
    assert found == {what: deployed["Output" + what.replace("-", "")] for what in PUBLISHED}
    assert all(found.values())
    with pytest.raises(NotDeployedError, match="deploy GenaiStack-Training -c stage=prod"):
        read("prod", "training", "spot-queue")


def test_what_was_published_is_there(deployed: dict[str, str]) -> None:
    def published(what: str) -> str:
        return read("dev", "training", what)

    boto3.client("s3").head_bucket(Bucket=published("artefact-bucket"))
    table = boto3.resource("dynamodb").Table(published("records-table"))
    table.put_item(Item={"collection": "jobs", "id": "job-1"})
    assert table.get_item(Key={"collection": "jobs", "id": "job-1"})["Item"]["id"] == "job-1"
    groups = boto3.client("logs").describe_log_groups(logGroupNamePrefix=published("log-group"))["logGroups"]
    assert [group["logGroupName"] for group in groups] == ["/genai-stack/dev/training"]
    boto3.client("sns").get_topic_attributes(TopicArn=published("alarm-topic"))


def test_a_job_can_be_submitted_with_its_spec(deployed: dict[str, str]) -> None:
    batch = boto3.client("batch")
    for kind, queue in (("train", "spot-queue"), ("evaluate", "spot-queue"), ("batch", "spot-queue")):
        job = batch.submit_job(
            jobName=f"{kind}-1",
            jobQueue=read("dev", "training", queue),
            jobDefinition=read("dev", "training", f"{kind}-definition"),
            parameters={"spec": "s3://bucket/jobs/job-1/spec.json"},
        )
        (described,) = batch.describe_jobs(jobs=[job["jobId"]])["jobs"]
        assert described["jobName"] == f"{kind}-1"
        assert described["jobQueue"] == read("dev", "training", queue)
    (many,) = batch.describe_job_definitions(
        jobDefinitions=[read("dev", "training", "train-multi-node-definition")]
    )["jobDefinitions"]
    assert (many["type"], many["status"]) == ("multinode", "ACTIVE")


def test_roles_hold_their_policies(deployed: dict[str, str]) -> None:
    iam = boto3.client("iam")
    job: dict[str, Any] = boto3.client("batch").describe_job_definitions(
        jobDefinitions=[read("dev", "training", "train-definition")]
    )["jobDefinitions"][0]["containerProperties"]
    bucket = read("dev", "training", "artefact-bucket")
    resources: list[str] = []
    role = job["jobRoleArn"].rpartition("/")[2]
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
            resource = statement["Resource"]
            resources += resource if isinstance(resource, list) else [resource]
    assert f"arn:aws:s3:::{bucket}/jobs/*" in resources
    image = job["image"]
    assert image.startswith("763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training:")
    assert all("<" not in resource and "${" not in resource for resource in resources)


@pytest.fixture
def told(deployed: dict[str, str]) -> Iterator[list[str]]:
    """The stage with everything open, and what its alarm topic is told from now on."""
    topic = sns_backends["123456789012"]["us-east-1"].topics[read("dev", "training", "alarm-topic")]
    _set("ENABLED")
    messages: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topic, "publish", lambda message, **_: messages.append(message) or "id")
        yield messages
    _set("ENABLED")


def _set(state: str) -> None:
    batch = boto3.client("batch")
    for fleet in FLEETS:
        batch.update_job_queue(jobQueue=read("dev", "training", f"{fleet}-queue"), state=state)
        environment = read("dev", "training", f"{fleet}-environment")
        batch.update_compute_environment(computeEnvironment=environment, state=state)


def _states() -> list[str]:
    """Of the queues, then of the environments."""
    batch = boto3.client("batch")
    queues = batch.describe_job_queues()["jobQueues"]
    environments = batch.describe_compute_environments()["computeEnvironments"]
    assert (len(queues), len(environments)) == (2, 2)
    return [each["state"] for each in (*queues, *environments)]


def test_a_spent_budget_closes_queues_and_environments_and_tells_how_to_open_them(told: list[str]) -> None:
    assert _states() == ["ENABLED"] * 4
    close_queues("dev")
    assert _states() == ["DISABLED"] * 4
    (message,) = told
    for fleet in FLEETS:
        environment, queue = (read("dev", "training", f"{fleet}-{what}") for what in ("environment", "queue"))
        opens = f"aws batch update-compute-environment --state ENABLED --compute-environment {environment}\n"
        assert f"{opens}aws batch update-job-queue --state ENABLED --job-queue {queue}" in message


def test_what_can_be_closed_is_closed_before_the_failure_is_told(told: list[str]) -> None:
    ssm, name = boto3.client("ssm"), "/genai-stack/dev/training/spot-queue"
    queue = read("dev", "training", "spot-queue")
    ssm.put_parameter(Name=name, Value=f"{queue}-gone", Overwrite=True)
    try:
        with pytest.raises(GenAIStackError, match=f"batch:UpdateJobQueue on {queue}-gone .* Batch console"):
            close_queues("dev")
    finally:
        ssm.put_parameter(Name=name, Value=queue, Overwrite=True)
    assert sorted(_states()) == ["DISABLED"] * 3 + ["ENABLED"]
    assert told == []
