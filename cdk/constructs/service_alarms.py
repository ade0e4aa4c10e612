"""What a person should hear of the API, and the board that shows what it does."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct

ERROR_PERCENT = 5
"""Of requests that fail by the API's fault."""
MINUTES = 5
MINUTE = cdk.Duration.minutes(1)
# The application's own log: a line for each request.
_USE = (
    "filter event = 'request' and ispresent(model)",
    "stats count(*) as requests, sum(prompt_tokens) as read, sum(completion_tokens) as written by model",
)
_KEYS = (
    "filter event = 'request' and ispresent(key)",
    "stats count(*) as requests, sum(prompt_tokens) as read, sum(completion_tokens) as written by key",
    "sort written desc",
    "limit 20",
)
_BROKEN = (
    "filter event = 'unexpected_error'",
    "fields @timestamp, request_id, route, error, frames.0",
    "sort @timestamp desc",
    "limit 20",
)


def service_alarms(
    scope: Construct, *, topic: sns.ITopic, api: apigateway.RestApi, function: lambda_.Function
) -> None:
    """Requests fail; the function dies or runs into its time limit; requests find no free environment."""
    failing = cloudwatch.MathExpression(
        expression="IF(requests > 0, 100 * errors / requests, 0)",
        label="Requests that failed (%)",
        using_metrics={"requests": _of(api, "Count", "Sum"), "errors": _of(api, "5XXError", "Sum")},
        period=MINUTE,
    )
    told = {
        "Failing": (f"Over {ERROR_PERCENT} % of requests to the API fail", failing, ERROR_PERCENT),
        "Dying": ("The API's function fails", function.metric_errors(period=MINUTE, statistic="Sum"), 1),
        "Full": (
            "The API takes no more requests at once; raise service.gateway.concurrency",
            function.metric_throttles(period=MINUTE, statistic="Sum"),
            1,
        ),
    }
    for id, (description, metric, threshold) in told.items():
        alarm = cloudwatch.Alarm(
            scope,
            id,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=MINUTES,
            datapoints_to_alarm=3,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(topic))


def service_dashboard(
    scope: Construct, id: str, *, api: apigateway.RestApi, function: lambda_.Function, log: logs.LogGroup
) -> cloudwatch.Dashboard:
    """Requests, errors and latency by API Gateway, environments by Lambda, models and keys by the application's log."""
    board = cloudwatch.Dashboard(scope, id, default_interval=cdk.Duration.hours(3))
    board.add_widgets(
        _graph("Requests", _of(api, "Count", "Sum")),
        _graph("Errors", _of(api, "4XXError", "Sum"), _of(api, "5XXError", "Sum")),
        _graph("Latency (ms)", _of(api, "Latency", "p50"), _of(api, "Latency", "p99")),
    )
    concurrent = function.metric("ConcurrentExecutions", period=MINUTE, statistic="Maximum")
    refused = function.metric_throttles(period=MINUTE, statistic="Sum")
    board.add_widgets(
        _graph("Requests at once", concurrent, refused),
        _table("Models", log, _USE),
        _table("Keys", log, _KEYS),
    )
    board.add_widgets(_table("Unexpected errors", log, _BROKEN, width=24))
    return board


def _of(api: apigateway.RestApi, name: str, statistic: str) -> cloudwatch.Metric:
    return api.deployment_stage.metric(name, statistic=statistic, period=MINUTE)


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8, height=6)


def _table(title: str, log: logs.LogGroup, lines: tuple[str, ...], width: int = 8) -> cloudwatch.LogQueryWidget:
    return cloudwatch.LogQueryWidget(
        title=title, log_group_names=[log.log_group_name], query_lines=list(lines), width=width, height=6
    )
