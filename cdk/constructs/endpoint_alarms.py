"""What a person should hear of hosted models, and what takes an update back."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from genai_stack import choices, names
from genai_stack.catalogue import ModelConfig

from .function import EventFunction

ERROR_PERCENT = 5
"""Of requests that fail by the server's fault."""
WAITING_MINUTES = 30
"""A model that is asked for so long without a copy coming up has none to come."""
WAITING_PERIODS = WAITING_MINUTES // 5


class EndpointAlarms(Construct):
    """All models' alarms; `topic` is the stage's."""

    def __init__(self, scope: Construct, id: str, *, topic: sns.ITopic, stage: str) -> None:
        super().__init__(scope, id)
        self._topic = topic
        self._stage = stage

    def watch(self, model: ModelConfig, endpoint: str) -> list[cloudwatch.Alarm]:
        """Alarms for a model, and of these the ones that take an update back."""
        label = endpoint.rpartition("-")[2]
        errors = _metric("Invocation5XXErrors", endpoint)
        if choices.asynchronous(model):  # whose requests SageMaker doesn't count
            failing, threshold, says = errors, 1, "Requests"
            waiting = _waiting("HasBacklogWithoutCapacity", {"EndpointName": endpoint})
        else:
            failing, threshold, says = _share(endpoint), ERROR_PERCENT, f"Over {ERROR_PERCENT} % of requests"
            component = names.component(self._stage, model.name)
            waiting = _waiting("NoCapacityInvocationFailures", {"InferenceComponentName": component})
        rollback = self._alarm(
            f"Errors{label}",
            f"{says} to {model.name} fail",
            failing,
            threshold=threshold,
            periods=5,
            datapoints=3,
        )
        self._alarm(
            f"Waiting{label}",
            f"For {WAITING_MINUTES} minutes {model.name} has been asked and no machine has come up",
            waiting,
            threshold=1,
            periods=WAITING_PERIODS,
            datapoints=WAITING_PERIODS,
        )
        return [rollback]

    def watch_serverless(self, model: ModelConfig, endpoint: str) -> None:
        """An alarm for a model without machines: its processors come with each request."""
        self._alarm(
            f"Errors{endpoint.rpartition('-')[2]}",
            f"Over {ERROR_PERCENT} % of requests to {model.name} fail",
            _share(endpoint),
            threshold=ERROR_PERCENT,
            periods=5,
            datapoints=3,
        )

    def unhandled(self, function: EventFunction) -> None:
        """Alarms when a request for components waits in the function's dead-letter queue."""
        self._alarm(
            "Unhandled",
            "A request for components could not be handled; it waits in the dead-letter queue",
            function.failed.metric_approximate_number_of_messages_visible(statistic="Maximum"),
            threshold=1,
            periods=1,
            datapoints=1,
        )

    def _alarm(
        self,
        id: str,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: int,
        periods: int,
        datapoints: int,
    ) -> cloudwatch.Alarm:
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            datapoints_to_alarm=datapoints,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self._topic))
        return alarm


def _share(endpoint: str) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression="IF(requests > 0, 100 * errors / requests, 0)",
        label="Requests that failed (%)",
        using_metrics={
            "requests": _metric("Invocations", endpoint),
            "errors": _metric("Invocation5XXErrors", endpoint),
        },
        period=cdk.Duration.minutes(1),
    )


def _metric(name: str, endpoint: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/SageMaker",
        metric_name=name,
        dimensions_map={"EndpointName": endpoint, "VariantName": names.VARIANT},
        statistic="Sum",
        period=cdk.Duration.minutes(1),
    )


def _waiting(name: str, where: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/SageMaker",
        metric_name=name,
        dimensions_map=where,
        statistic="Maximum",
        period=cdk.Duration.minutes(5),
    )
