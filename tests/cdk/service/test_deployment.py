"""All three stacks, deployed into moto: references resolve, and the client finds the API that was published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto.cloudformation.parsing as parsing
import pytest
from click.testing import CliRunner

from genai_stack import GenAIStack, names
from genai_stack.aws.published import read
from genai_stack.cli.root import root
from genai_stack.errors import NotDeployedError, Unauthorized
from genai_stack.service import ApiKeys
from genai_stack.wiring import aws_services
from tests.cdk.account import account, placeholder
from tests.cdk.conftest import NAME as TRAINING
from tests.cdk.service.conftest import NAME
from tests.cdk.templates import Template, listed
from tests.cdk.test_deployment import STACK, bootstrap, deploy

PLACEHOLDERS = (
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::GatewayResponse",
    "AWS::WAFv2::WebACL",
    "AWS::WAFv2::WebACLAssociation",
)
"""Types that moto's CloudFormation doesn't know, beside those of the training stack and stages, whose name counts."""


def stage_type() -> Any:
    """A stage's reference is its name."""
    made = placeholder("AWS::ApiGateway::Stage")

    def create(cls: Any, resource_name: str, cloudformation_json: Any, *_: Any, **__: Any) -> Any:
        stage = cls()
        stage.name = stage.physical_resource_id = cloudformation_json["Properties"]["StageName"]
        return stage

    setattr(made, "create_from_cloudformation_json", classmethod(create))  # noqa: B010 - mypy takes no other way
    return made


@pytest.fixture(scope="module")
def deployed(assembly: Path) -> Iterator[dict[str, str]]:
    """The service stack's outputs, on a training stack and before no models."""
    stage = stage_type()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with account(*PLACEHOLDERS):
            bootstrap()
            deploy(assembly, TRAINING, STACK)
            yield deploy(assembly, NAME, f"{NAME}-dev")
    del stage


def test_every_placeholder_is_needed(template: Template) -> None:
    types = {resource["Type"] for resource in template["Resources"].values()}
    assert {*PLACEHOLDERS, "AWS::ApiGateway::Stage"} <= types
    assert not set(PLACEHOLDERS) & set(parsing.get_model_map())


def test_the_client_finds_the_api_once_it_has_a_key(
    deployed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = read("dev", "service", "api-url")
    assert deployed["Outputapiurl"] == url
    (api,) = boto3.client("apigateway").get_rest_apis()["items"]
    assert url == f"https://{api['id']}.execute-api.us-east-1.amazonaws.com/dev/v1"
    with GenAIStack.deployed("dev") as stack, pytest.raises(Unauthorized, match="keys create NAME --stage dev"):
        _ = stack.service
    made = CliRunner().invoke(root, ["keys", "create", "first", "--stage", "dev"], catch_exceptions=False)
    key = made.stdout.strip()
    assert key.startswith("sk-gs-")
    monkeypatch.setenv("GENAI_STACK_API_KEY", key)
    with GenAIStack.deployed("dev") as stack:
        assert stack.endpoint.base_url == url
        assert stack.service.openai.api_key == key


async def test_the_records_hold_a_key_s_hash_alone(deployed: dict[str, str]) -> None:
    made = CliRunner().invoke(root, ["keys", "create", "second", "--stage", "dev"], catch_exceptions=False)
    key = made.stdout.strip()
    items = boto3.client("dynamodb").scan(TableName=read("dev", "training", "records-table"))["Items"]
    assert key.split("-")[2] in str(items)
    assert key not in str(items)
    assert key.rpartition("-")[2] not in str(items)
    assert (await ApiKeys(aws_services("dev").records).verify(key.encode())).name == "second"


def test_the_function_reaches_what_the_training_stack_made(deployed: dict[str, str]) -> None:
    (function,) = (f for f in boto3.client("lambda").list_functions()["Functions"] if f["Handler"] == "run.sh")
    role = function["Role"].rpartition("/")[2]
    iam = boto3.client("iam")
    resources = [
        resource
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        for resource in listed(statement["Resource"])
    ]
    assert read("dev", "training", "spot-queue") in resources
    for kind in ("train", "batch"):
        newest = read("dev", "training", f"{kind}-definition")
        assert f"{newest.rpartition(':')[0]}:*" in resources
    assert f"arn:aws:s3:::{read('dev', 'training', 'artefact-bucket')}/files/*" in resources
    assert any(resource.endswith(f"table/{read('dev', 'training', 'records-table')}") for resource in resources)
    assert all("<" not in resource and "${" not in resource for resource in resources)


def test_a_stage_without_an_api_says_what_to_deploy(deployed: dict[str, str]) -> None:
    with pytest.raises(NotDeployedError, match="deploy GenaiStack-Service -c stage=prod"):
        read("prod", "service", "api-url")
    assert names.remedy("service").endswith("deploy GenaiStack-Service -c stage=NAME")
