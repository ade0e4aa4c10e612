"""What happens to jobs, told to the records."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
import jsii
from aws_cdk import aws_batch as batch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from genai_stack import names
from genai_stack.config import TrainingConfig

from .acknowledge import acknowledge_objects
from .function import EventFunction
from .storage import Storage


@jsii.implements(events.IRuleTarget)
class LogTarget:
    """A log group as a rule's target, whose policy is the log group's owner's business."""

    def __init__(self, log: logs.LogGroup) -> None:
        self._log = log

    def bind(self, rule: events.IRule, id: str | None = None) -> events.RuleTargetConfig:
        """The group's ARN without the streams that the log group's own ends in."""
        return events.RuleTargetConfig(
            arn=cdk.Stack.of(self._log).format_arn(
                service="logs",
                resource="log-group",
                resource_name=self._log.log_group_name,
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )
        )


class JobEvents(Construct):
    """Every state change of a job in `queues`, and of a SageMaker training job that runs as `managed`, goes to the
    events function and, as it is, to a log that the dashboard counts. EventBridge retries a delivery for six hours;
    what fails then waits in the function's queue."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        queues: list[batch.CfnJobQueue],
        managed: iam.Role,
        stage: str,
        config: TrainingConfig,
        storage: Storage,
        staging: Path,
    ) -> None:
        super().__init__(scope, id)
        self.function = EventFunction(
            self,
            "Events",
            folder="events",
            stage=stage,
            config=config,
            storage=storage,
            staging=staging,
            description="Job state changes to records",
            minutes=5,  # an adapter is packed on the way
            reads=("training", "hosting"),
        )
        self._grant(storage)
        on_batch = events.EventPattern(
            source=["aws.batch"],
            detail_type=["Batch Job State Change"],
            detail={"jobQueue": [queue.attr_job_queue_arn for queue in queues]},
        )
        on_sagemaker = events.EventPattern(
            source=["aws.sagemaker"],
            detail_type=["SageMaker Training Job State Change"],
            detail={"RoleArn": [managed.role_arn]},
        )
        rules = [
            events.Rule(self, "Rule", description="Job state changes", event_pattern=on_batch),
            events.Rule(self, "Managed", description="Training job state changes", event_pattern=on_sagemaker),
        ]
        for rule in rules:
            rule.add_target(
                targets.LambdaFunction(
                    self.function.function,
                    dead_letter_queue=self.function.failed,
                    retry_attempts=24,
                    max_event_age=cdk.Duration.hours(6),
                )
            )
        self.log = storage.log_group("StateChanges", None, config)
        logs.ResourcePolicy(
            self,
            "WriteLog",
            resource_policy_name=names.log_policy(stage),  # such names are the account's and region's
            policy_statements=[
                iam.PolicyStatement(
                    principals=[
                        iam.ServicePrincipal("events.amazonaws.com"),
                        iam.ServicePrincipal("delivery.logs.amazonaws.com"),
                    ],
                    actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                    resources=[self.log.log_group_arn],
                )
            ],
        )
        for rule in rules:
            rule.add_target(LogTarget(self.log))

    def _grant(self, storage: Storage) -> None:
        """Records, to write; a job's output, to read."""
        role = self.function.role
        item = ["dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"]
        role.add_to_policy(iam.PolicyStatement(actions=item, resources=[storage.records.table_arn]))
        bucket = storage.artefacts
        role.add_to_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn]))
        role.add_to_policy(
            iam.PolicyStatement(actions=["s3:GetObject"], resources=[bucket.arn_for_objects("jobs/*")])
        )
        role.add_to_policy(storage.use_of_key())
        acknowledge_objects(role, bucket, "jobs/*", "what any job wrote")
