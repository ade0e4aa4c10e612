"""A limit on what the machines may cost in a month."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from genai_stack.config import TrainingConfig

from .fleet import Fleet
from .function import EventFunction
from .storage import Storage


class Budget(Construct):
    """A warning on `alarms` at a share of the sum, and at the whole sum an action: the fleets close, and `alarms` is
    told what was closed. (A budget's notice goes to one topic.)

    It counts the account's EC2 machines, not this stack's: a filter on its tags would see nothing until somebody
    activates them for cost allocation, and a budget that sees nothing stops nothing.

    AWS's own budget actions can attach a policy or stop machines by id. Neither stops Batch, which launches by a
    service-linked role and names its machines itself; so the action is a function that disables the queues and the
    compute environments. A disabled queue alone goes on with the jobs it has.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        fleets: list[Fleet],
        stage: str,
        config: TrainingConfig,
        storage: Storage,
        alarms: sns.Topic,
        staging: Path,
    ) -> None:
        super().__init__(scope, id)
        self.function = EventFunction(
            self,
            "Budget",
            folder="budget",
            stage=stage,
            config=config,
            storage=storage,
            staging=staging,
            description="A spent budget closes the queues",
        )
        self._grant(fleets, alarms, storage)
        spent = sns.Topic(self, "Spent", master_key=storage.key, enforce_ssl=True)
        spent.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("budgets.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[spent.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
            )
        )
        spent.add_subscription(
            subscriptions.LambdaSubscription(self.function.function, dead_letter_queue=self.function.failed)
        )
        budgets.CfnBudget(
            self,
            "Month",
            budget={
                "budgetType": "COST",
                "timeUnit": "MONTHLY",
                "budgetLimit": {"amount": config.budget.monthly_usd, "unit": "USD"},
                "costFilters": {"Service": ["Amazon Elastic Compute Cloud - Compute"]},
            },
            notifications_with_subscribers=[
                _notice(config.budget.warn_percent, alarms),
                _notice(100, spent),
            ],
        )

    def _grant(self, fleets: list[Fleet], alarms: sns.Topic, storage: Storage) -> None:
        """Queues and environments, to close; the alarms' topic, to tell."""
        rights = {
            "batch:UpdateJobQueue": [fleet.queue.attr_job_queue_arn for fleet in fleets],
            "batch:UpdateComputeEnvironment": [
                fleet.environment.attr_compute_environment_arn for fleet in fleets
            ],
            "sns:Publish": [alarms.topic_arn],
            "kms:Decrypt": [storage.key.key_arn],
            "kms:GenerateDataKey": [storage.key.key_arn],
        }
        for action, resources in rights.items():
            self.function.role.add_to_policy(iam.PolicyStatement(actions=[action], resources=resources))


def _notice(percent: int, topic: sns.Topic) -> dict[str, object]:
    return {
        "notification": {
            "notificationType": "ACTUAL",
            "comparisonOperator": "GREATER_THAN",
            "threshold": percent,
            "thresholdType": "PERCENTAGE",
        },
        "subscribers": [{"subscriptionType": "SNS", "address": topic.topic_arn}],
    }
