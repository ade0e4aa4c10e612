"""What a person should hear of, and the topic it comes on."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from genai_stack import names
from genai_stack.config import TrainingConfig

from .function import EventFunction
from .storage import Storage

PUBLISHERS = ("cloudwatch", "budgets")
"""Beside EventBridge, which its rule's target lets in."""


class Alarms(Construct):
    """A job failed; a queue is blocked; an event couldn't be handled. `topic` carries these and the budget's words."""

    def __init__(self, scope: Construct, id: str, *, config: TrainingConfig, storage: Storage) -> None:
        super().__init__(scope, id)
        self.topic = sns.Topic(self, "Topic", master_key=storage.key, enforce_ssl=True)
        if config.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(config.alarm_email))
        ours = {"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
        principals = [iam.ServicePrincipal(f"{name}.amazonaws.com") for name in PUBLISHERS]
        storage.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=principals,
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],  # a key's policy speaks of the key alone
                conditions=ours,
            )
        )
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=principals,
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions=ours,
            )
        )

    def job_failed(self, stage: str, log: logs.LogGroup) -> None:
        """Alarms when a job ends in FAILED, which it does after its last attempt; not when it was cancelled, which
        Batch calls FAILED too, and SageMaker doesn't."""
        failed = logs.MetricFilter(
            self,
            "Failed",
            log_group=log,
            filter_pattern=logs.FilterPattern.any(
                logs.FilterPattern.string_value("$.detail.TrainingJobStatus", "=", "Failed"),
                logs.FilterPattern.all(
                    logs.FilterPattern.string_value("$.detail.status", "=", "FAILED"),
                    logs.FilterPattern.any(
                        logs.FilterPattern.not_exists("$.detail.statusReason"),
                        logs.FilterPattern.string_value("$.detail.statusReason", "!=", names.CANCELLED),
                    ),
                ),
            ),
            metric_namespace=names.metrics(stage),
            metric_name="FailedJobs",
            metric_value="1",
        )
        self._alarm("JobFailed", "A job failed", failed.metric(statistic="Sum"))

    def unhandled(self, functions: dict[str, EventFunction]) -> None:
        """Alarms when an event waits in a function's dead-letter queue."""
        for id, function in functions.items():
            waiting = function.failed.metric_approximate_number_of_messages_visible(statistic="Maximum")
            self._alarm(id, "An event could not be handled; it waits in the dead-letter queue", waiting)

    def blocked(self, queues: list[batch.CfnJobQueue]) -> None:
        """Tells when the job at a queue's head can't start, and why. Batch says so by an event."""
        pattern = events.EventPattern(
            source=["aws.batch"],
            detail_type=["Batch Job Queue Blocked"],
            detail={"jobQueue": [queue.attr_job_queue_arn for queue in queues]},
        )
        rule = events.Rule(self, "Blocked", description="A job queue is blocked", event_pattern=pattern)
        rule.add_target(targets.SnsTopic(self.topic))

    def _alarm(self, id: str, description: str, metric: cloudwatch.IMetric) -> None:
        alarm = cloudwatch.Alarm(
            self,
            id,
            alarm_description=description,
            metric=metric,
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))
