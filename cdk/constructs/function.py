"""A Lambda function of this repository: ten lines of wiring over the package."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from genai_stack import names
from genai_stack.config import TrainingConfig

from .acknowledge import acknowledge
from .bundles import FUNCTION_PYTHON, ROOT, bundle_function
from .storage import Storage


class EventFunction(Construct):
    """A function that is called with events. What it can't handle in three tries waits in `failed`, a queue, for
    fourteen days. Its role may write its own log and read what the stacks of `reads` have published."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        folder: str,
        stage: str,
        config: TrainingConfig,
        storage: Storage,
        staging: Path,
        description: str,
        minutes: int = 1,
        reads: tuple[names.Layer, ...] = ("training",),
        elsewhere: bool = False,
    ) -> None:
        """`minutes` it may take. `elsewhere` puts its log into its own stack, which is not that of `storage`."""
        super().__init__(scope, id)
        self.failed = sqs.Queue(
            self,
            "Failed",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=cdk.Duration.days(14),
        )
        acknowledge(self.failed, "SQS3", None, "it is a dead-letter queue")
        log = storage.log_group(f"{id}Log", None, config, scope=self if elsewhere else None)
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), description=description
        )
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log.log_group_arn]
            )
        )
        for layer in reads:
            self._read_published(stage, layer)
        code = staging / folder
        bundle_function(ROOT / "lambdas" / folder / "handler.py", code)
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=lambda_.Runtime(f"python{FUNCTION_PYTHON}", lambda_.RuntimeFamily.PYTHON),
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handle",
            code=lambda_.Code.from_asset(str(code)),
            role=self.role.without_policy_updates(),
            memory_size=512,
            timeout=cdk.Duration.minutes(minutes),
            environment={"GENAI_STACK_STAGE": stage},
            log_group=log,
            dead_letter_queue=self.failed,
            retry_attempts=2,
            max_event_age=cdk.Duration.hours(6),
        )
        self.role.add_to_policy(
            iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.failed.queue_arn])
        )
        acknowledge(self.function, "L1", None, "it runs the Python that bundled it, so that its byte code fits")

    def _read_published(self, stage: str, layer: names.Layer) -> None:
        path = names.parameter(stage, layer, "").rstrip("/")
        where = f"arn:{cdk.Aws.PARTITION}:ssm:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:parameter{path}"
        self.role.add_to_policy(
            iam.PolicyStatement(
                # A question by path is allowed or not for the path itself, and a slash at its end counts.
                actions=["ssm:GetParametersByPath"],
                resources=[where, f"{where}/*"],
            )
        )
        acknowledge(
            self.role,
            "IAM5",
            f"Resource::arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>:parameter{path}/*",
            f"what the {layer} stack published, all of it",
        )
