"""Where CDK ends and promotion begins: a model's first component is asked for, and none is declared.

A component in the template would be CloudFormation's: the next `cdk deploy` would set a promoted model back to the
catalogue's. So a custom resource asks the package, which makes the first component, and touches none that a promotion
made. Removing the model removes them all.
"""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from genai_stack import names
from genai_stack.config import TrainingConfig

from .acknowledge import acknowledge
from .function import EventFunction
from .hosting_roles import components_rights, scaling_alarms
from .model_endpoint import ModelEndpoint
from .storage import Storage

RESOURCE = "Custom::InferenceComponents"
MINUTES = 15
"""A call of the function lasts at the most; it calls itself on."""
TIMEOUT = cdk.Duration.hours(1)
"""CloudFormation's own limit for an answer."""


class Components(Construct):
    """The function, and one request to it for each endpoint."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        endpoints: list[ModelEndpoint],
        stage: str,
        config: TrainingConfig,
        storage: Storage,
        staging: Path,
    ) -> None:
        super().__init__(scope, id)
        self.function = EventFunction(
            self,
            "Components",
            folder="components",
            stage=stage,
            config=config,
            storage=storage,
            staging=staging,
            description="Inference components of hosted models",
            minutes=MINUTES,
            reads=(),
            elsewhere=True,
        )
        role, arn = self.function.role, self.function.function.function_arn
        models = [endpoint.model.name for endpoint in endpoints]
        for statement in components_rights(stage, models, [endpoint.role for endpoint in endpoints]):
            role.add_to_policy(statement)
        # A policy of its own: the function waits for its role's.
        again = iam.Policy(
            self,
            "Again",
            statements=[iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[arn])],
            roles=[role],
        )
        for endpoint in endpoints:
            asked = cdk.CustomResource(
                endpoint,
                "Components",
                resource_type=RESOURCE,
                service_token=arn,
                service_timeout=TIMEOUT,
                properties={"Hosted": endpoint.hosted},
            )
            asked.node.add_dependency(endpoint.endpoint, again, role)
        self._explain(stage)

    def _explain(self, stage: str) -> None:
        later = "components, models and their scaling are named after models that are promoted later"
        for resource in (
            f"sagemaker:<AWS::Region>:<AWS::AccountId>:inference-component/{names.components(stage)}",
            f"sagemaker:<AWS::Region>:<AWS::AccountId>:model/{names.served_models(stage)}",
            *(f"cloudwatch:<AWS::Region>:<AWS::AccountId>:alarm:{name}" for name in scaling_alarms(stage)),
        ):
            acknowledge(self.function.role, "IAM5", f"Resource::arn:<AWS::Partition>:{resource}", later)
        targets = "application-autoscaling:<AWS::Region>:<AWS::AccountId>:scalable-target/*"
        drawn = "a scalable target's ARN holds an id that is drawn; conditions keep it to inference components"
        acknowledge(self.function.role, "IAM5", f"Resource::arn:<AWS::Partition>:{targets}", drawn)
        nothing = "the two actions that list know no resources"
        acknowledge(self.function.role, "IAM5", "Resource::*", nothing)
