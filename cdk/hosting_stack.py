"""The middle layer: open models behind names, on machines that come when somebody asks and go when nobody does."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from genai_stack import choices, names
from genai_stack.config import StackConfig

from .constructs.acknowledge import acknowledge, acknowledge_objects
from .constructs.components import Components
from .constructs.endpoint_alarms import EndpointAlarms
from .constructs.hosting_dashboard import hosting_dashboard
from .constructs.hosting_roles import attaching_rights, registry_resources
from .constructs.model_endpoint import ModelEndpoint
from .constructs.serverless_endpoint import ServerlessEndpoint
from .training_stack import TrainingStack


class HostingStack(cdk.Stack):
    """One endpoint for each model of the catalogue that an account hosts, published under
    `/genai-stack/<stage>/hosting/models`. It stands on the training stack's bucket, key, network and alarm topic."""

    def __init__(
        self, scope: Construct, stage: str, config: StackConfig, training: TrainingStack, staging: Path
    ) -> None:
        super().__init__(
            scope,
            names.cloudformation_stack("hosting"),
            stack_name=names.deployed_stack(stage, "hosting"),
            description=f"genai-stack {stage}: open models and their fine-tunes on SageMaker",
            tags={names.STAGE_TAG: stage},
        )
        models, alone = config.hosted_models, config.serverless_models
        alarms = EndpointAlarms(self, "Alarms", topic=training.alarms, stage=stage)
        group = ec2.SecurityGroup(
            self,
            "Models",
            vpc=training.network.vpc,
            description="Hosted models: out to anywhere, in from nowhere",
        )
        endpoints = [
            ModelEndpoint(
                self,
                names.hosted(model.name).rpartition("/")[2],
                model=model,
                stage=stage,
                storage=training.storage,
                network=training.network,
                nat=config.training.network.egress == "nat",
                security_group=group,
                alarms=alarms,
            )
            for model in models
        ]
        placed = [endpoint for endpoint in endpoints if not choices.asynchronous(endpoint.model)]
        if placed:
            placing = Components(
                self,
                "Placing",
                endpoints=placed,
                stage=stage,
                config=config.training,
                storage=training.storage,
                staging=staging,
            )
            alarms.unhandled(placing.function)
            _attach(self, stage, [endpoint.model.name for endpoint in placed], training)
        for model in alone:
            ServerlessEndpoint(
                self,
                names.hosted(model.name).rpartition("/")[2],
                model=model,
                stage=stage,
                alarms=alarms,
                staging=staging,
            )
        hosting_dashboard(self, "Dashboard", stage, [*models, *alone])


def _attach(scope: Construct, stage: str, models: list[str], training: TrainingStack) -> None:
    """The function that hears of a finished job may have its model answer, as long as there is something to answer
    on."""
    policy = iam.Policy(
        scope,
        "Attach",
        statements=attaching_rights(stage, models, training.storage),
        roles=[training.events],
    )
    later = "components and packages are named after models that jobs make later"
    for resource in (f"inference-component/{names.components(stage)}", *registry_resources(stage)):
        finding = f"Resource::arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:{resource}"
        acknowledge(policy, "IAM5", finding, later)
    acknowledge(policy, "IAM5", "Resource::*", "ListModelPackages knows no resources")
    acknowledge_objects(policy, training.storage.artefacts, "jobs/*", "an archive beside any job's adapter")
