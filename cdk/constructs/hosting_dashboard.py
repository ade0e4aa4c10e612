"""What the hosted models do now: a row for each."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from genai_stack import choices, names
from genai_stack.catalogue import ModelConfig

# vLLM's own report, every ten seconds while it works.
_TOKENS = (
    "parse @message 'Avg prompt throughput: * tokens/s, Avg generation throughput: * tokens/s' as read, written",
    "filter ispresent(written)",
    "stats avg(read) as prompt, avg(written) as generation by bin(1m)",
)
_ASYNCHRONOUS = ("ApproximateBacklogSize", "ApproximateBacklogSizePerInstance", "HasBacklogWithoutCapacity")


def hosting_dashboard(scope: Construct, id: str, stage: str, models: list[ModelConfig]) -> cloudwatch.Dashboard:
    """Latency, the time to the first piece of a streamed answer, tokens, errors, copies and GPU memory of each model;
    of one that answers through S3, what waits in place of tokens and copies; of one without machines, its memory."""
    board = cloudwatch.Dashboard(scope, id, default_interval=cdk.Duration.hours(3))
    for model in models:
        endpoint = names.endpoint(stage, model.name)
        component = names.component(stage, model.name)
        here = {"EndpointName": endpoint, "VariantName": names.VARIANT}
        board.add_widgets(cloudwatch.TextWidget(markdown=f"## {model.name} ({model.task})", width=24, height=1))
        latency = [
            _metric(name, here, statistic)
            for name in ("ModelLatency", "OverheadLatency")
            for statistic in ("p50", "p99")
        ]
        first = [_metric("FirstChunkLatency", here, statistic) for statistic in ("p50", "p99")]
        errors = [_metric(f"Invocation{kind}Errors", here, "Sum") for kind in ("4XX", "5XX")]
        board.add_widgets(
            _graph("Latency (µs)", latency), _graph("First chunk (µs)", first), _graph("Errors", errors)
        )
        if choices.asynchronous(model):
            waiting = [_metric(name, {"EndpointName": endpoint}, "Average") for name in _ASYNCHRONOUS]
            memory = _metric("GPUMemoryUtilization", here, "Average", "/aws/sagemaker/Endpoints")
            board.add_widgets(_graph("Requests that wait", waiting), _graph("GPU memory (%)", [memory]))
            continue
        if model.serverless:
            memory = _metric("MemoryUtilization", here, "Maximum", "/aws/sagemaker/Endpoints")
            starting = _metric("ModelSetupTime", here, "p99")
            board.add_widgets(_graph("Memory (%)", [memory]), _graph("Start (µs)", [starting]))
            continue
        at = {"InferenceComponentName": component}
        board.add_widgets(
            cloudwatch.LogQueryWidget(
                title="Tokens a second, each copy",
                log_group_names=[names.component_log(component)],
                view=cloudwatch.LogQueryVisualizationType.LINE,
                query_lines=list(_TOKENS),
                width=8,
                height=6,
            ),
            _graph("Copies", [_copies(at), _metric("ConcurrentRequestsPerCopy", at, "Average")]),
            _graph(
                "GPU memory (%)",
                [
                    _metric(
                        "GPUMemoryUtilizationNormalized", at, "Average", "/aws/sagemaker/InferenceComponents"
                    )
                ],
            ),
        )
    return board


def _copies(at: dict[str, str]) -> cloudwatch.MathExpression:
    """SageMaker counts a request once, and once more as one part of as many as there are copies."""
    return cloudwatch.MathExpression(
        expression="IF(parts > 0, requests / parts, 0)",
        label="Copies that answered",
        using_metrics={
            "requests": _metric("Invocations", at, "Sum"),
            "parts": _metric("InvocationsPerCopy", at, "Sum"),
        },
        period=cdk.Duration.minutes(1),
    )


def _metric(
    name: str, where: dict[str, str], statistic: str, namespace: str = "AWS/SageMaker"
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=where,
        statistic=statistic,
        period=cdk.Duration.minutes(1),
    )


def _graph(title: str, metrics: list[cloudwatch.IMetric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=metrics, width=8, height=6)
