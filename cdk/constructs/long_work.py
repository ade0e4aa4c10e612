"""Work that outlasts a request: an endpoint that takes it into a queue and answers through S3.

SageMaker's InvokeEndpointAsync names no inference component, so such an endpoint has none: its model stands in the
endpoint's configuration and comes from the catalogue alone, and its machines are scaled, by what waits, to none.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_sns as sns
from constructs import Construct

from genai_stack import choices, names
from genai_stack.catalogue import ModelConfig

from .acknowledge import acknowledge_objects
from .images import Image
from .storage import Storage

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
WAITING_PER_MACHINE = 2.0
"""Requests that may wait for each machine before another starts."""


class LongWork(Construct):
    """The model, the place and the topic of its answers. `told` hears of each answer and each failure."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: ModelConfig,
        role: iam.Role,
        image: Image,
        storage: Storage,
        vpc: dict[str, Any] | None,
    ) -> None:
        super().__init__(scope, id)
        self.told = sns.Topic(self, "Told", master_key=storage.key, enforce_ssl=True)
        bucket, prefix = storage.artefacts, names.answers(model.name)
        asked = f"{names.questions(model.name)}/*"
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[bucket.arn_for_objects(asked)])
        )
        acknowledge_objects(role, bucket, asked, "requests to the model, each named as it comes")
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:PutObject"], resources=[bucket.arn_for_objects(f"{prefix}/*")])
        )
        acknowledge_objects(role, bucket, f"{prefix}/*", "the model's own answers, which SageMaker names")
        role.add_to_policy(iam.PolicyStatement(actions=["sns:Publish"], resources=[self.told.topic_arn]))
        role.add_to_policy(
            iam.PolicyStatement(actions=["kms:GenerateDataKey"], resources=[storage.key.key_arn])
        )
        self.model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            enable_network_isolation=model.source.startswith("s3://"),
            primary_container=_container(model, image),
            vpc_config=vpc,
        )
        self.config: dict[str, Any] = {
            "clientConfig": {"maxConcurrentInvocationsPerInstance": choices.requests_per_copy(model)},
            "outputConfig": {
                "s3OutputPath": f"s3://{bucket.bucket_name}/{prefix}",
                "s3FailurePath": f"s3://{bucket.bucket_name}/{prefix}/failed",
                "kmsKeyId": storage.key.key_arn,
                "notificationConfig": {"successTopic": self.told.topic_arn, "errorTopic": self.told.topic_arn},
            },
        }

    def scale(self, model: ModelConfig, endpoint: sagemaker.CfnEndpoint, name: str) -> None:
        """Machines by what waits for each; the first request that finds none starts one."""
        target = scaling.CfnScalableTarget(
            self,
            "Machines",
            service_namespace="sagemaker",
            scalable_dimension=DIMENSION,
            resource_id=f"endpoint/{name}/variant/{names.VARIANT}",
            min_capacity=model.min,
            max_capacity=model.max,
        )
        target.add_resource_dependency(endpoint)
        where = [{"name": "EndpointName", "value": name}]
        scaling.CfnScalingPolicy(
            self,
            "ByBacklog",
            policy_name=f"{name}-backlog",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration={
                "customizedMetricSpecification": {
                    "namespace": "AWS/SageMaker",
                    "metricName": "ApproximateBacklogSizePerInstance",
                    "statistic": "Average",
                    "dimensions": where,
                },
                "targetValue": WAITING_PER_MACHINE,
                "scaleOutCooldown": 60,
                "scaleInCooldown": 300,
            },
        )
        if not model.min:
            self._from_zero(target, name)

    def _from_zero(self, target: scaling.CfnScalableTarget, name: str) -> None:
        step = scaling.CfnScalingPolicy(
            self,
            "FromZero",
            policy_name=f"{name}-from-zero",
            policy_type="StepScaling",
            scaling_target_id=target.ref,
            step_scaling_policy_configuration={
                "adjustmentType": "ChangeInCapacity",
                "metricAggregationType": "Average",
                "cooldown": 300,
                "stepAdjustments": [{"metricIntervalLowerBound": 0, "scalingAdjustment": 1}],
            },
        )
        cloudwatch.CfnAlarm(
            self,
            "Waiting",
            alarm_description=f"A request waits for {name}, which has no machine: one starts",
            namespace="AWS/SageMaker",
            metric_name="HasBacklogWithoutCapacity",
            dimensions=[{"name": "EndpointName", "value": name}],
            statistic="Average",
            period=60,
            evaluation_periods=2,
            datapoints_to_alarm=2,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="missing",
            alarm_actions=[step.ref],
        )


def _container(model: ModelConfig, image: Image) -> dict[str, Any]:
    container: dict[str, Any] = {"image": image.uri, "environment": choices.environment(model)}
    if model.source.startswith("s3://"):
        where = {"s3Uri": model.source.rstrip("/") + "/", "s3DataType": "S3Prefix", "compressionType": "None"}
        container["modelDataSource"] = {"s3DataSource": where}
    return container
