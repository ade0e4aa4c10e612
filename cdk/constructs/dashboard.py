"""What the bottom layer does now: queues, GPUs, money."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from genai_stack import names

# The last state of each job that changed in the time shown, counted by queue.
_JOBS = (
    "filter `detail-type` = 'Batch Job State Change'",
    "stats latest(detail.status) as state by detail.jobId as job, detail.jobQueue as queue",
    "stats count(*) as jobs by queue, state",
)
_FAILURES = (
    "filter detail.status = 'FAILED'",
    "fields @timestamp, detail.jobName, detail.statusReason, detail.container.exitCode",
    "sort @timestamp desc",
    "limit 20",
)
_NOTE = (
    "EC2's charges of the whole account this month, as far as CloudWatch knows them: it does once billing alerts are"
    " switched on in the billing preferences, and some hours late."
)


def dashboard(
    scope: Construct, id: str, stage: str, log: logs.LogGroup, fleets: list[str]
) -> cloudwatch.Dashboard:
    """Queue depth from the events' log, GPU use from the machines' agents, vCPUs and charges from AWS's own metrics.
    Nothing here costs more while no job runs than a dashboard does."""
    board = cloudwatch.Dashboard(
        scope,
        id,
        default_interval=cdk.Duration.days(1),
    )
    board.add_widgets(
        _query("Jobs by queue and state", log, _JOBS),
        _query("Failed jobs", log, _FAILURES),
    )
    board.add_widgets(
        _graph("GPU utilisation", "%", [_gpu(stage, "utilization_gpu", fleet) for fleet in fleets]),
        _graph("GPU memory in use", "MiB", [_gpu(stage, "memory_used", fleet) for fleet in fleets]),
    )
    board.add_widgets(
        _graph(
            "vCPUs in use (whole account)", "vCPUs", [_vcpus(kind) for kind in ("G/Spot", "P/Spot", "G", "P")]
        ),
        cloudwatch.GraphWidget(title="Spend (USD, EC2)", left=[_charges()], width=8, region="us-east-1"),
        cloudwatch.TextWidget(markdown=_NOTE, width=4, height=6),
    )
    return board


def _query(title: str, log: logs.LogGroup, lines: tuple[str, ...]) -> cloudwatch.LogQueryWidget:
    return cloudwatch.LogQueryWidget(
        title=title, log_group_names=[log.log_group_name], query_lines=list(lines), width=12, height=6
    )


def _graph(title: str, unit: str, metrics: list[cloudwatch.Metric]) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(
        title=title,
        left=metrics,
        left_y_axis=cloudwatch.YAxisProps(label=unit, show_units=False, min=0),
        width=12,
    )


def _gpu(stage: str, what: str, fleet: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=names.metrics(stage),
        metric_name=f"nvidia_smi_{what}",
        dimensions_map={"fleet": fleet},
        label=fleet,
        statistic="Average",
        period=cdk.Duration.minutes(1),
    )


def _vcpus(kind: str) -> cloudwatch.Metric:
    name, _, spot = kind.partition("/")
    return cloudwatch.Metric(
        namespace="AWS/Usage",
        metric_name="ResourceCount",
        dimensions_map={
            "Service": "EC2",
            "Type": "Resource",
            "Resource": "vCPU",
            "Class": f"{name}/{spot or 'OnDemand'}",
        },
        label=f"{name} {spot.lower() or 'on demand'}",
        statistic="Maximum",
        period=cdk.Duration.minutes(5),
    )


def _charges() -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/Billing",
        metric_name="EstimatedCharges",
        dimensions_map={"Currency": "USD", "ServiceName": "AmazonEC2"},
        statistic="Maximum",
        period=cdk.Duration.hours(6),
        region="us-east-1",  # where all billing metrics are
    )
