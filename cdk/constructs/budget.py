"""A limit on what the machines may cost in a month."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from genai_stack.config import TrainingConfig

from .function import EventFunction
from .storage import Storage


class Budget(Construct):
    """A warning on `alarms` at a share of the sum, and at the whole sum an action: the queues close.

    It counts the account's EC2 machines, not this stack's: a filter on its tags would see nothing until somebody
    activates them for cost allocation, and a budget that sees nothing stops nothing.

    AWS's own budget actions can attach a policy or stop machines by id. Neither stops Batch, which launches by a
    service-linked role and names its machines itself; so the action is a function that disables the queues.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        queues: list[batch.CfnJobQueue],
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
        self.function.role.add_to_policy(
            iam.PolicyStatement(
                actions=["batch:UpdateJobQueue"], resources=[queue.attr_job_queue_arn for queue in queues]
            )
        )
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
