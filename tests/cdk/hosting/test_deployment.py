"""Both stacks, deployed into moto: references between them resolve, and what was published is what there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import botocore.validate
import moto.cloudformation.parsing as parsing
import msgspec
import pytest

from genai_stack import names
from genai_stack.hosted import HostedModel
from tests.cdk.account import KNOWN, account, placeholder
from tests.cdk.conftest import NAME as TRAINING
from tests.cdk.hosting.conftest import NAME
from tests.cdk.hosting.test_endpoints import MODELS, PLACED
from tests.cdk.templates import Template, listed, of_type
from tests.cdk.test_deployment import STACK, bootstrap, deploy

PLACEHOLDERS = (
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::SageMaker::ModelPackageGroup",
)
"""Types that moto's CloudFormation doesn't know, beside those of the training stack."""


@pytest.fixture(scope="module")
def asked(hosting_assembly: Path) -> Iterator[list[dict[str, Any]]]:
    """Deploys both; what the custom resources were made with."""
    made: list[dict[str, Any]] = []
    custom = placeholder("Custom::InferenceComponents")
    create = custom.create_from_cloudformation_json

    def record(name: str, given: dict[str, Any], *rest: Any, **more: Any) -> Any:
        made.append(given["Properties"])
        return create(name, given, *rest, **more)

    custom.create_from_cloudformation_json = record
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "CustomModel", custom)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        with account(*PLACEHOLDERS):
            bootstrap()
            deploy(hosting_assembly, TRAINING, STACK)
            outputs = deploy(hosting_assembly, NAME, f"{NAME}-dev")
            assert sorted(outputs.values()) == sorted(names.endpoint("dev", model) for model in MODELS)
            yield made


def test_every_placeholder_is_needed(template: Template) -> None:
    types = {resource["Type"] for resource in template["Resources"].values()}
    assert set(PLACEHOLDERS) <= types
    assert not set(PLACEHOLDERS) & KNOWN


@pytest.mark.parametrize("model", MODELS)
def test_what_was_published_is_there(asked: list[dict[str, Any]], model: str) -> None:
    name = names.parameter("dev", "hosting", names.hosted(model))
    value = boto3.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    hosted = msgspec.json.decode(value, type=HostedModel)
    assert len(value.encode()) <= 4096
    sagemaker, iam = boto3.client("sagemaker"), boto3.client("iam")
    endpoint = sagemaker.describe_endpoint(EndpointName=hosted.endpoint)
    assert sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    role = iam.get_role(RoleName=hosted.role.rpartition("/")[2])["Role"]
    assert role["Arn"] == hosted.role
    assert hosted.image.startswith("763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:")
    assert all(hosted.alarms)
    assert "${" not in value


def test_the_function_is_asked_for_what_was_published(asked: list[dict[str, Any]]) -> None:
    published = [
        boto3.client("ssm").get_parameter(Name=names.parameter("dev", "hosting", names.hosted(model)))
        for model in PLACED
    ]
    assert sorted(p["Hosted"] for p in asked) == sorted(p["Parameter"]["Value"] for p in published)
    (arn,) = {p["ServiceToken"] for p in asked}
    function = boto3.client("lambda").get_function(FunctionName=arn)["Configuration"]
    assert (function["Handler"], function["Timeout"]) == ("handler.handle", 900)


def test_roles_reach_the_training_stack_s_bucket(asked: list[dict[str, Any]]) -> None:
    bucket = boto3.client("ssm").get_parameter(Name=names.parameter("dev", "training", "artefact-bucket"))
    iam = boto3.client("iam")
    hosted = msgspec.json.decode(asked[0]["Hosted"], type=HostedModel)
    role = hosted.role.rpartition("/")[2]
    resources = [
        resource
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        for resource in listed(statement["Resource"])
    ]
    assert f"arn:aws:s3:::{bucket['Parameter']['Value']}/models/*" in resources
    assert all("<" not in resource and "${" not in resource for resource in resources)


def test_sagemaker_takes_such_configurations(template: Template) -> None:
    """CloudFormation's properties are the API's parameters, and botocore's service model knows each of these."""
    service = botocore.session.get_session().get_service_model("sagemaker")
    shape = service.operation_model("CreateEndpointConfig").input_shape
    known = set(service.shape_for("ProductionVariantInstanceType").enum)
    for config in of_type(template, "SageMaker::EndpointConfig").values():
        request = json.loads(json.dumps(config), object_hook=_literal) | {"EndpointConfigName": "c"}
        report = botocore.validate.ParamValidator().validate(request, shape)
        assert not report.has_errors(), report.generate_report()
        (variant,) = request["ProductionVariants"]
        machines = [variant.get("InstanceType")] if "InstanceType" in variant else []
        machines += [pool["InstanceType"] for pool in variant.get("InstancePools", ())]
        assert machines
        assert set(machines) <= known


def _literal(value: dict[str, Any]) -> Any:
    """A word in place of a reference, as long as the shortest ARN."""
    return "x" * 20 if len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::")) else value
