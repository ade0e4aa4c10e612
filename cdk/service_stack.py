"""The top layer: OpenAI's API over HTTPS, in front of what the layers below are."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from genai_stack import names
from genai_stack.config import StackConfig

from .constructs.api_function import ApiFunction
from .constructs.firewall import firewall
from .constructs.gateway import Gateway
from .constructs.service_alarms import service_alarms, service_dashboard
from .training_stack import TrainingStack


class ServiceStack(cdk.Stack):
    """Composes the layer and publishes its address under `/genai-stack/<stage>/service`. It keeps nothing itself:
    records, files and keys lie in the training stack's table and bucket."""

    def __init__(
        self, scope: Construct, stage: str, config: StackConfig, training: TrainingStack, staging: Path
    ) -> None:
        super().__init__(
            scope,
            names.cloudformation_stack("service"),
            stack_name=names.deployed_stack(stage, "service"),
            description=f"genai-stack {stage}: OpenAI's API on API Gateway and Lambda",
            tags={names.STAGE_TAG: stage},
        )
        # What it reads of the training stack as parameters is no reference that CDK sees.
        self.add_stack_dependency(training)
        storage, limits = training.storage, config.service.gateway
        api = ApiFunction(self, "Api", stage=stage, config=config, storage=storage, staging=staging)
        access = storage.log_group("Access", None, config.training, scope=self)
        gateway = Gateway(self, "Gateway", stage=stage, config=limits, function=api.function, log=access)
        firewall(
            self,
            "Firewall",
            stage=stage,
            requests_per_address=limits.requests_per_address,
            protected=gateway.api.deployment_stage.stage_arn,
        )
        service_alarms(self, topic=training.alarms, api=gateway.api, function=api.function)
        service_dashboard(self, "Dashboard", api=gateway.api, function=api.function, log=api.log)
        ssm.CfnParameter(
            self,
            "Published-api-url",
            type="String",
            name=names.parameter(stage, "service", "api-url"),
            value=gateway.url,
        )
        cdk.CfnOutput(self, "Output-api-url", value=gateway.url)
