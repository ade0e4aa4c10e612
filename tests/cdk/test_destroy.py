"""`genai-stack destroy` over all three stacks, deployed into moto behind a loopback server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner, Result

from genai_stack import names, wiring
from genai_stack.aws.components import Components
from genai_stack.aws.published import hosted_models, read
from genai_stack.cli.root import root
from genai_stack.cli.run import run
from genai_stack.ports import ModelVersion
from tests.aws.account import Answer, Request
from tests.cdk.standing import LAYERS, Stand, deployed

KINDS = {"bucket", "vector bucket", "table", "key", "log group", "role"}


def destroy(*arguments: str, typed: str | None = None) -> Result:
    return CliRunner().invoke(root, ["destroy", *arguments], input=typed, catch_exceptions=False)


def document(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(destroy(*arguments, "--json", "--yes").stdout)
    return found


@pytest.fixture(scope="module")
def stand(hosting_assembly: Path, reserved_assembly: Path) -> Iterator[Stand]:
    """Stage dev, which keeps data, and prod, which doesn't; both have been used."""
    with deployed(("dev", hosting_assembly), ("prod", reserved_assembly)) as made:
        for stage in ("dev", "prod"):
            _use(made, stage)
        yield made


def _use(stand: Stand, stage: str) -> None:
    """Objects and versions of them, an adapter that answers, versions in the registry, a revision, logs."""
    s3, bucket = boto3.client("s3"), read(stage, "training", "artefact-bucket")
    # moto's CloudFormation doesn't take a bucket's versioning over.
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for content in (b"1", b"2"):
        s3.put_object(Bucket=bucket, Key="jobs/job-1/output/x", Body=content)
    s3.delete_object(Bucket=bucket, Key="jobs/job-1/output/x")
    s3.create_multipart_upload(Bucket=bucket, Key="unfinished")
    vectors = read(stage, "training", "vector-bucket").rpartition("/")[2]
    stand.aws.vectors.create_vector_bucket(vectors)  # CloudFormation's is a name here
    for index in ("one", "two"):
        stand.aws.vectors.create_index(vectors, index)
    services, hosted = wiring.aws_jobs(stage), hosted_models(stage)
    services.registry.register(ModelVersion("mine", f"s3://{bucket}/jobs/job-1/output", base="chat"))
    Components(stage).ensure(hosted["chat"])
    stand.sagemaker.there[names.component(stage, "mine")] = {
        **stand.sagemaker.there[names.component(stage, "chat")],
        "InferenceComponentName": names.component(stage, "mine"),
        "Specification": {"BaseInferenceComponentName": names.component(stage, "chat")},
    }
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName=names.component_log(names.component(stage, "mine")))
    logs.create_log_group(logGroupName=names.endpoint_log(names.endpoint(stage, "film")))
    batch, arn = boto3.client("batch"), read(stage, "training", "train-definition")
    (definition,) = batch.describe_job_definitions(jobDefinitions=[arn])["jobDefinitions"]
    batch.register_job_definition(
        jobDefinitionName=definition["jobDefinitionName"],
        type="container",
        containerProperties=definition["containerProperties"],
    )


def _revisions(stage_definition: str) -> list[str]:
    name = stage_definition.rpartition("/")[2].partition(":")[0]
    found = boto3.client("batch").describe_job_definitions(jobDefinitionName=name, status="ACTIVE")
    return [one["jobDefinitionArn"] for one in found["jobDefinitions"]]


def test_nothing_goes_before_the_name_is_typed(stand: Stand) -> None:
    before = stand.stacks()
    told = destroy("--stage", "dev", typed="prod\n")
    assert told.exit_code == 1
    assert "that isn't 'dev'; nothing was touched" in told.output
    for layer in LAYERS:
        assert f"deletes   stack {names.deployed_stack('dev', layer)}" in told.output
    assert "prod" not in told.output.replace("that", "").partition("Type dev")[0]
    assert destroy("--yes").exit_code == 2
    assert stand.stacks() == before
    assert len(before) == 6


def test_a_denied_call_names_the_action_and_the_next_run_goes_on(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    """CloudFormation isn't allowed to be asked for the last stack."""

    def denied(request: Request) -> Answer | None:
        if b"Action=DeleteStack" not in request.body or b"GenaiStack-Training" not in request.body:
            return None
        body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
        return Answer(403, {"content-type": "text/xml"}, body.encode())

    definition = read("dev", "training", "train-definition")
    assert len(_revisions(definition)) == 2
    with stand.aws.broken(denied) as hit:
        assert run(["destroy", "--stage", "dev", "--yes"]) == 1
    assert len(hit) == 1
    said = capfd.readouterr()
    assert "may not cloudformation:DeleteStack on GenaiStack-Training-dev" in said.err
    assert "GenaiStack-Service-dev: 0 of" in said.err
    left = [name for name in stand.stacks() if name.endswith("-dev")]
    assert left == ["GenaiStack-Training-dev"]
    assert document("--stage", "dev")["removed"] == ["GenaiStack-Training-dev"]
    assert _revisions(definition) == []


def test_what_is_kept_is_there_and_told_with_its_commands(stand: Stand) -> None:
    found = document("--stage", "dev")
    assert found["removed"] == []
    assert {one["kind"] for one in found["kept"]} == KINDS
    by_kind = {kind: [one["name"] for one in found["kept"] if one["kind"] == kind] for kind in KINDS}
    assert len(by_kind["bucket"]) == 2
    for bucket in by_kind["bucket"]:
        boto3.client("s3").head_bucket(Bucket=bucket)
    for one in found["kept"]:
        assert one["commands"]
        assert all(one["name"] in command or "update-account" in command for command in one["commands"])
    assert by_kind["log group"] == sorted(
        (
            names.endpoint_log(names.endpoint("dev", "film")),
            names.component_log(names.component("dev", "mine")),
        )
    )
    told = destroy("--stage", "dev", "--yes").stdout
    assert "genai-stack destroy --stage dev --with-data" in told
    assert "removed" not in told


def test_components_versions_and_groups_are_gone(stand: Stand) -> None:
    ours = names.component("dev", "chat"), names.component("dev", "mine")
    assert not set(ours) & set(stand.sagemaker.there)
    deleted = [body["InferenceComponentName"] for verb, body in stand.sagemaker.asked if verb == "delete"]
    assert deleted.index(ours[1]) < deleted.index(ours[0])
    models = boto3.client("sagemaker").list_models()["Models"]
    assert not [one for one in models if one["ModelName"].endswith(names.served_ending("dev", "chat"))]
    assert names.model_package_group("dev", "mine") in stand.sagemaker.deleted_groups
    assert names.model_package_group("dev", "chat") not in stand.sagemaker.deleted_groups, "its stack's"
    assert stand.sagemaker.deleted_packages
    assert all(names.model_package_group("dev", "mine") in arn for arn in stand.sagemaker.deleted_packages)


def test_another_stage_keeps_all_it_has(stand: Stand) -> None:
    assert stand.stacks() == sorted(names.deployed_stack("prod", layer) for layer in LAYERS)
    assert names.component("prod", "mine") in stand.sagemaker.there
    assert len(_revisions(read("prod", "training", "train-definition"))) == 2
    boto3.client("s3").head_bucket(Bucket=read("prod", "training", "artefact-bucket"))


def test_with_data_nothing_of_its_own_is_left(stand: Stand) -> None:
    before = document("--stage", "dev")["kept"]
    told = destroy("--stage", "dev", "--with-data", typed="dev\n")
    assert told.exit_code == 0
    found = document("--stage", "dev", "--with-data")
    assert found["removed"] == []
    assert [one["kind"] for one in found["kept"]] == ["role"]
    names_before = {one["kind"]: one["name"] for one in before}
    assert boto3.client("dynamodb").list_tables()["TableNames"] == [read("prod", "training", "records-table")]
    key = boto3.client("kms").describe_key(KeyId=names_before["key"])["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"
    buckets = {one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"]}
    assert not buckets & {one["name"] for one in before}
    assert list(vectors_of_stages(stand)) == [read("prod", "training", "vector-bucket").rpartition("/")[2]]


def vectors_of_stages(stand: Stand) -> dict[str, Any]:
    """The account has other tests' vector buckets too."""
    return {name: held for name, held in stand.aws.vectors.buckets.items() if name.startswith("GenaiStack-")}


def test_data_that_would_go_with_its_stack_stops_it_before_anything(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket, table = (read("prod", "training", what) for what in ("artefact-bucket", "records-table"))
    assert run(["destroy", "--stage", "prod", "--yes"]) == 1
    said = capfd.readouterr()
    vectors = read("prod", "training", "vector-bucket").rpartition("/")[2]
    assert f"{bucket}, {vectors}, {table} hold data" in said.err
    assert len(stand.stacks()) == 3
    told = destroy("--stage", "prod", "--with-data", typed="no\n").output
    assert f"deletes   table {table} with all its records" in told
    found = document("--stage", "prod", "--with-data")
    assert found["removed"][:3] == [names.deployed_stack("prod", layer) for layer in reversed(LAYERS)]
    assert stand.stacks() == []
    assert vectors_of_stages(stand) == {vectors: {}}, "emptied, for its stack to delete"
    assert [one["kind"] for one in found["kept"]] == ["role"]


def test_a_stage_that_never_was_has_nothing(stand: Stand) -> None:
    told = destroy("--stage", "nowhere", "--with-data")
    assert told.exit_code == 0
    assert "there is nothing of it" in told.output
