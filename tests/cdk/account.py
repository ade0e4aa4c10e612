"""CloudFormation in moto, as far as our templates need it.

moto creates most of their resources for real. What it doesn't know stands in PLACEHOLDERS, and a template with another
unknown type fails. Where moto knows a type and can't create it as CloudFormation gives it, it is mended here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import moto.cloudformation.parsing as parsing
import pytest
from moto import mock_aws
from moto.batch import models as batch
from moto.cloudformation.models import Stack
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import ec2_backends
from moto.ec2.models.flow_logs import FlowLogs
from moto.ec2.models.route_tables import RouteTable
from moto.iam.models import iam_backends
from moto.kms.models import Key
from moto.sagemaker.models import FakeEndpoint, FakeEndpointConfig, SageMakerModelBackend

PLACEHOLDERS = (
    "AWS::Budgets::Budget",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::PlacementGroup",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Logs::MetricFilter",
    "AWS::S3::BucketPolicy",
    "AWS::S3Vectors::VectorBucket",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
)
"""Types that moto's CloudFormation doesn't know; nothing is made for them but a name."""


KNOWN = frozenset(parsing.get_model_map())
"""What moto knows by itself, seen before there is any placeholder: those go when Python's collector comes round."""


def placeholder(name: str) -> type[CloudFormationModel]:
    """A model of the type `name` that is only a name; every attribute of it is a word, but
    for an ARN that others' rights go by."""
    account = "us-east-1:123456789012"

    def create(
        cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> Any:
        made = cls()
        made.name = made.physical_resource_id = resource_name
        return made

    members = {
        "cloudformation_name_type": staticmethod(lambda: ""),
        "cloudformation_type": staticmethod(lambda: name),
        "create_from_cloudformation_json": classmethod(create),
        "delete_from_cloudformation_json": classmethod(lambda cls, *_, **__: None),
        "has_cfn_attr": classmethod(lambda cls, attr: True),
        "get_cfn_attribute": lambda self, attr: (
            f"arn:aws:s3vectors:{account}:bucket/{self.name}"
            if attr == "VectorBucketArn"
            else f"{self.name}-{attr}"
        ),
        "is_created": lambda self: True,
    }
    return type(name.replace("::", "_"), (CloudFormationModel,), members)


def _environment(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
) -> Any:
    """As Batch does it, with its service-linked role where none is named."""
    iam = iam_backends[account_id]["aws"]
    linked = [role for role in iam.roles.values() if role.path == "/aws-service-role/batch.amazonaws.com/"]
    role = linked[0] if linked else iam.create_service_linked_role("batch.amazonaws.com", "", "")
    properties = cloudformation_json["Properties"]
    resources = batch.lowercase_first_key(properties["ComputeResources"])
    # moto wants groups on the environment, also where they stand on the launch template's interfaces.
    ec2 = ec2_backends[account_id][region_name]
    vpc = ec2.get_subnet(resources["subnets"][0]).vpc_id
    resources.setdefault("securityGroupIds", [ec2.get_default_security_group(vpc).id])
    return batch.batch_backends[account_id][region_name].create_compute_environment(
        resource_name, properties["Type"].upper(), properties["State"], resources, role.arn
    )


def _definition(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
) -> Any:
    """As Batch does it: multi-node definitions have nodes in place of a container."""
    properties = batch.lowercase_first_key(cloudformation_json["Properties"])
    return batch.batch_backends[account_id][region_name].register_job_definition(
        def_name=resource_name,
        parameters={},
        _type=properties["type"],
        tags={},
        retry_strategy=properties["retryStrategy"],
        container_properties=properties.get("containerProperties"),
        node_properties=properties.get("nodeProperties"),
        eks_properties=None,
        timeout=properties["timeout"],
        platform_capabilities=properties.get("platformCapabilities", ["EC2"]),
        propagate_tags=properties["propagateTags"],
    )


def _flow_log(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
) -> Any:
    """moto takes a bucket for the destination, and no prefix in it."""
    properties = dict(cloudformation_json["Properties"])
    properties["LogDestination"] = properties["LogDestination"].partition("/")[0]
    given = {**cloudformation_json, "Properties": properties}
    return _make_flow_log(cls, resource_name, given, account_id, region_name, **kwargs)


def _key(
    cls: Any, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
) -> Any:
    """moto keeps a policy as it comes, and reads it as JSON later."""
    properties = dict(cloudformation_json["Properties"])
    properties["KeyPolicy"] = json.dumps(properties["KeyPolicy"])
    given = {**cloudformation_json, "Properties": properties}
    return _make_key(cls, resource_name, given, account_id, region_name, **kwargs)


_make_key = Key.create_from_cloudformation_json.__func__
_make_flow_log = FlowLogs.create_from_cloudformation_json.__func__

ARN: dict[str, Any] = {
    "has_cfn_attr": classmethod(lambda cls, attr: attr.endswith("Arn")),
    "get_cfn_attribute": lambda self, attr: self.arn,
}
"""The one attribute of Batch's resources that templates refer to."""


ANY_VARIANT: dict[str, Any] = {"validate_production_variants": lambda self, variants: None}
"""moto's list of machines ends in 2020, and it knows neither instance pools nor a variant without a model."""


def _deleted(self: Any) -> None:
    """As CloudFormation does it: a stack that is gone tells what it was made of. moto would make it again to tell."""
    self.made = list(self.resource_map.values())
    _delete_stack(self)


_delete_stack = Stack.delete
GONE: dict[str, Any] = {
    "delete": _deleted,
    "stack_resources": property(lambda self: getattr(self, "made", None) or self.resource_map.values()),
}


def _remove_route_table(cls: Any, resource_name: str, _: Any, account_id: str, region_name: str) -> None:
    """moto can't, and then can't delete the network."""
    ec2_backends[account_id][region_name].route_tables.pop(resource_name)


@contextmanager
def account(*more: str) -> Iterator[None]:
    """An empty account in us-east-1 that takes our templates, with placeholders for `more` types."""
    placeholders = [placeholder(type) for type in (*PLACEHOLDERS, *more)]
    creates = {
        batch.ComputeEnvironment: _environment,
        batch.JobDefinition: _definition,
        FlowLogs: _flow_log,
        Key: _key,
    }
    mended = [
        *(
            (model, {"create_from_cloudformation_json": classmethod(create)})
            for model, create in creates.items()
        ),
        (Stack, GONE),
        (RouteTable, {"delete_from_cloudformation_json": classmethod(_remove_route_table)}),
        *((model, ARN) for model in (batch.ComputeEnvironment, batch.JobQueue)),
        # moto gives an endpoint a name of its own.
        (FakeEndpoint, {"cloudformation_name_type": staticmethod(lambda: "EndpointName")}),
        *((model, ANY_VARIANT) for model in (FakeEndpointConfig, SageMakerModelBackend)),
    ]
    had = [(model, name, vars(model).get(name)) for model, members in mended for name in members]
    for model, members in mended:
        for name, member in members.items():
            setattr(model, name, member)
    _forget()
    try:
        with mock_aws(config={"batch": {"use_docker": False}}), pytest.MonkeyPatch.context() as patch:
            # moto answers botocore alone: with this, all ask through it, whatever else the machine says.
            patch.setenv("AWS_USE_FIPS_ENDPOINT", "false")
            yield
    finally:
        for model, name, member in had:
            if member is None:
                delattr(model, name)
            else:
                setattr(model, name, member)
        for each in placeholders:  # moto keeps every model it has seen: from now on they stand for nothing
            each.cloudformation_type = staticmethod(lambda: "")
        _forget()


def _forget() -> None:
    for cache in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cache.cache_clear()
