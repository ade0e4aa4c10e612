"""One hosted model: its endpoint, and what is published of it."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
import msgspec
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from genai_stack import choices, names
from genai_stack.catalogue import ModelConfig
from genai_stack.containers import CONTAINERS, NEWEST_AMI

from .endpoint_alarms import EndpointAlarms
from .hosting_roles import model_role
from .images import hosting_image
from .long_work import LongWork
from .network import Network
from .storage import Storage


class ModelEndpoint(Construct):
    """An endpoint for one model of the catalogue, without a component on it: those are the promotion's.

    Machines come as copies need them and go with the last; they are never encrypted by a key of ours, for all of these
    have disks of their own (local NVMe), which are, and SageMaker refuses a key there. Weights in S3 are read for the
    container, which then has no network at all. A model of the hub fetches them itself: it stands outside the network
    unless that has NAT gateways.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: ModelConfig,
        stage: str,
        storage: Storage,
        network: Network,
        nat: bool,
        security_group: ec2.SecurityGroup,
        alarms: EndpointAlarms,
    ) -> None:
        super().__init__(scope, id)
        self.model = model
        self.name = names.endpoint(stage, model.name)
        stored = model.source.startswith("s3://")
        inside = stored or nat
        image = hosting_image(self, model.image, CONTAINERS[model.task])
        self.role = model_role(self, "Role", model=model, stage=stage, image=image, storage=storage, vpc=inside)
        vpc = _vpc(network, security_group) if inside else None
        long = (
            LongWork(self, "LongWork", model=model, role=self.role, image=image, storage=storage, vpc=vpc)
            if choices.asynchronous(model)
            else None
        )
        config = sagemaker.CfnEndpointConfig(
            self,
            "Config",
            production_variants=[_variant(model, long)],
            execution_role_arn=None if long else self.role.role_arn,
            enable_network_isolation=None if long else stored,
            vpc_config=None if long else vpc,
            async_inference_config=long.config if long else None,
            metrics_config={"enableDetailedObservability": True},
        )
        rollback = alarms.watch(model, self.name)
        self.endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=self.name,
            endpoint_config_name=config.attr_endpoint_config_name,
            deployment_config=_rolling([alarm.alarm_name for alarm in rollback]),
        )
        # A role without its rights fails the endpoint.
        self.endpoint.node.add_dependency(self.role)
        if long:
            long.scale(model, self.endpoint, self.name)
        sagemaker.CfnModelPackageGroup(
            self,
            "Versions",
            model_package_group_name=names.model_package_group(stage, model.name),
            model_package_group_description=f"genai-stack {stage}: versions of {model.name}",
        )
        self.hosted = self._publish(stage, image.uri, rollback)

    def _publish(self, stage: str, image: str, rollback: list[cloudwatch.Alarm]) -> str:
        """The HostedModel as JSON, which it puts into SSM."""
        alarms = tuple(alarm.alarm_name for alarm in rollback)
        hosted = choices.hosted(self.model, self.name, self.role.role_arn, image, alarms)
        value = cdk.Stack.of(self).to_json_string(msgspec.json.decode(msgspec.json.encode(hosted)))
        ssm.CfnParameter(
            self,
            "Published",
            type="String",
            name=names.parameter(stage, "hosting", names.hosted(self.model.name)),
            value=value,
        )
        cdk.CfnOutput(self, "Name", value=self.name, description=f"The endpoint of {self.model.name}")
        return value


def _variant(model: ModelConfig, long: LongWork | None) -> dict[str, Any]:
    patience = choices.startup_seconds(model)
    pools = [f"ml.{name}" for name in model.instances]
    variant: dict[str, Any] = {
        "variantName": names.VARIANT,
        "initialInstanceCount": 1,  # 0 is refused; the machine goes when it isn't needed
        "inferenceAmiVersion": model.ami or NEWEST_AMI,
        "containerStartupHealthCheckTimeoutInSeconds": patience,
        "modelDataDownloadTimeoutInSeconds": patience,
    }
    if len(pools) == 1:
        variant["instanceType"] = pools[0]
    else:
        variant["instancePools"] = [
            {"instanceType": name, "priority": priority} for priority, name in enumerate(pools, 1)
        ]
    if long:
        return variant | {"modelName": long.model.attr_model_name, "initialVariantWeight": 1.0}
    return variant | {
        "managedInstanceScaling": {
            "status": "ENABLED",
            "minInstanceCount": choices.least_machines(model),
            "maxInstanceCount": choices.machines(model),
        },
        "routingConfig": {"routingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }


def _vpc(network: Network, security_group: ec2.SecurityGroup) -> dict[str, Any]:
    subnets = [*network.vpc.private_subnets, *network.vpc.isolated_subnets]
    return {
        "subnets": [subnet.subnet_id for subnet in subnets],
        "securityGroupIds": [security_group.security_group_id],
    }


def _rolling(alarms: list[str]) -> dict[str, Any]:
    """A new configuration takes over machine by machine, and goes back when an alarm goes off."""
    return {
        "rollingUpdatePolicy": {
            "maximumBatchSize": {"type": "CAPACITY_PERCENT", "value": 50},
            "rollbackMaximumBatchSize": {"type": "CAPACITY_PERCENT", "value": 100},
            "waitIntervalInSeconds": 300,
            "maximumExecutionTimeoutInSeconds": 28800,
        },
        "autoRollbackConfiguration": {"alarms": [{"alarmName": name} for name in alarms]},
    }
