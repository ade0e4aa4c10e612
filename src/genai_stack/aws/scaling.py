"""How many copies of a component there are: as many as its requests ask for, and none while nobody asks."""

from __future__ import annotations

from typing import Any

from genai_stack.hosted import HostedModel

from . import session
from .faults import code_of, translated

DIMENSION = "sagemaker:inference-component:DesiredCopyCount"
CONCURRENCY = "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
"""Requests in flight for each copy, every ten seconds."""
OUT_SECONDS, IN_SECONDS = 60, 300
"""Between two steps up, and between two steps down."""


class Scaling:
    def __init__(self, *, autoscaling: Any = None, cloudwatch: Any = None) -> None:
        self._autoscaling = autoscaling or session.client("application-autoscaling")
        self._cloudwatch = cloudwatch or session.client("cloudwatch")

    def put(self, component: str, hosted: HostedModel) -> None:
        """Brings the component's scaling to what `hosted` says; the same again changes nothing. The component must be
        in service."""
        target, name = _target(component), _from_zero(component)
        with translated("application-autoscaling", f"the scaling of {component}", "hosting"):
            self._autoscaling.register_scalable_target(
                **target, MinCapacity=hosted.min_copies, MaxCapacity=hosted.max_copies
            )
            self._autoscaling.put_scaling_policy(
                **target,
                PolicyName=f"{component}-requests",
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration={
                    "PredefinedMetricSpecification": {"PredefinedMetricType": CONCURRENCY},
                    "TargetValue": float(hosted.requests_per_copy),
                    "ScaleOutCooldown": OUT_SECONDS,
                    "ScaleInCooldown": IN_SECONDS,
                },
            )
            if hosted.min_copies:
                self._forget_zero(target, name)
                return
            # Without a copy there are no requests in flight to track: the first one that finds none brings one up.
            policy = self._autoscaling.put_scaling_policy(
                **target,
                PolicyName=name,
                PolicyType="StepScaling",
                StepScalingPolicyConfiguration={
                    "AdjustmentType": "ChangeInCapacity",
                    "MetricAggregationType": "Maximum",
                    "Cooldown": OUT_SECONDS,
                    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
                },
            )
            self._cloudwatch.put_metric_alarm(
                AlarmName=name,
                AlarmDescription=f"A request found no copy of {component}: one comes up.",
                AlarmActions=[policy["PolicyARN"]],
                Namespace="AWS/SageMaker",
                MetricName="NoCapacityInvocationFailures",
                Dimensions=[{"Name": "InferenceComponentName", "Value": component}],
                Statistic="Maximum",
                Period=60,
                EvaluationPeriods=1,
                DatapointsToAlarm=1,
                Threshold=1.0,
                ComparisonOperator="GreaterThanOrEqualToThreshold",
                TreatMissingData="missing",
            )

    def remove(self, component: str) -> None:
        """Nothing happens where there is none."""
        target, name = _target(component), _from_zero(component)
        with translated("application-autoscaling", f"the scaling of {component}", "hosting"):
            self._cloudwatch.delete_alarms(AlarmNames=[name])
            self._unless_gone(
                self._autoscaling.deregister_scalable_target, **target
            )  # takes its policies along

    def _forget_zero(self, target: dict[str, str], name: str) -> None:
        self._cloudwatch.delete_alarms(AlarmNames=[name])
        self._unless_gone(self._autoscaling.delete_scaling_policy, **target, PolicyName=name)

    def _unless_gone(self, call: Any, **about: str) -> None:
        try:
            call(**about)
        except self._autoscaling.exceptions.ClientError as error:
            if code_of(error) != "ObjectNotFoundException":
                raise


def _target(component: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"inference-component/{component}",
        "ScalableDimension": DIMENSION,
    }


def _from_zero(component: str) -> str:
    """Of the step policy and its alarm."""
    return f"{component}-from-zero"
