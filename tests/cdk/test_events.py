"""What is told to whom: events to records, alarms to people, a spent budget to the queues."""

from __future__ import annotations

import json
import re
import sys

import pytest

from genai_stack.aws.observed import CANCELLED
from tests.cdk.templates import Template, of_type, one, text

QUEUES = ["<SpotQueue.JobQueueArn>", "<MultiNodeQueue.JobQueueArn>"]
FUNCTIONS = ("Events", "Budget")


@pytest.mark.parametrize(
    ("rule", "detail_type"),
    [("EventsRule", "Batch Job State Change"), ("AlarmsBlocked", "Batch Job Queue Blocked")],
)
def test_rules_hear_our_queues_alone(template: Template, rule: str, detail_type: str) -> None:
    properties = one(template, "Events::Rule", rule)
    assert properties["State"] == "ENABLED"
    pattern = properties["EventPattern"]
    assert set(pattern) == {"source", "detail-type", "detail"}
    assert (pattern["source"], pattern["detail-type"]) == (["aws.batch"], [detail_type])
    assert [text(queue) for queue in pattern["detail"]["jobQueue"]] == QUEUES


def test_a_rule_hears_our_training_jobs_alone(template: Template) -> None:
    properties = one(template, "Events::Rule", "EventsManaged")
    assert properties["State"] == "ENABLED"
    pattern = dict(properties["EventPattern"])
    detail = pattern.pop("detail")
    assert pattern == {"source": ["aws.sagemaker"], "detail-type": ["SageMaker Training Job State Change"]}
    assert {key: [text(each) for each in value] for key, value in detail.items()} == {
        "RoleArn": ["<RolesManaged.Arn>"]
    }


@pytest.mark.parametrize("rule", ["EventsRule", "EventsManaged"])
def test_state_changes_go_to_the_function_and_to_a_log(template: Template, rule: str) -> None:
    function, log = one(template, "Events::Rule", rule)["Targets"]
    assert text(function["Arn"]) == "<EventsFunction.Arn>"
    assert text(function["DeadLetterConfig"]["Arn"]) == "<EventsFailed.Arn>"
    assert function["RetryPolicy"] == {"MaximumEventAgeInSeconds": 21600, "MaximumRetryAttempts": 24}
    where = "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:<StorageStateChanges>"
    assert text(log["Arn"]) == where
    policy = json.loads(text(one(template, "Logs::ResourcePolicy")["PolicyDocument"]))
    (statement,) = policy["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "delivery.logs.amazonaws.com"]},
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": "<StorageStateChanges.Arn>",
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_small_and_loses_no_event(template: Template, name: str) -> None:
    function = one(template, "Lambda::Function", f"{name}Function")
    assert (function["Handler"], function["Architectures"]) == ("handler.handle", ["arm64"])
    assert function["Runtime"] == f"python3.{sys.version_info.minor}"  # whose byte code it carries
    assert text(function["Code"]["S3Bucket"]).startswith("cdk-hnb659fds-assets-")
    assert re.fullmatch(r"[0-9a-f]{64}\.zip", function["Code"]["S3Key"])
    assert function["Environment"] == {"Variables": {"GENAI_STACK_STAGE": "dev"}}
    assert (function["Timeout"], function["MemorySize"]) == ({"Events": 300, "Budget": 60}[name], 512)
    assert text(function["Role"]) == f"<{name}Role.Arn>"
    assert text(function["DeadLetterConfig"]["TargetArn"]) == f"<{name}Failed.Arn>"
    assert text(function["LoggingConfig"]["LogGroup"]) == f"<Storage{name}Log>"
    retries = one(template, "Lambda::EventInvokeConfig", f"{name}Function")
    assert text(retries["FunctionName"]) == f"<{name}Function>"
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (2, 21600)
    assert retries["Qualifier"] == "$LATEST"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_dead_letters_wait_encrypted_for_two_weeks(template: Template, name: str) -> None:
    queue = one(template, "SQS::Queue", f"{name}Failed")
    assert queue == {"MessageRetentionPeriod": 14 * 86400, "SqsManagedSseEnabled": True}
    policy = one(template, "SQS::QueuePolicy", f"{name}Failed")
    assert [text(q) for q in policy["Queues"]] == [f"<{name}Failed>"]
    refuse, *lets = policy["PolicyDocument"]["Statement"]
    assert (refuse["Effect"], refuse["Action"], refuse["Principal"]) == ("Deny", "sqs:*", {"AWS": "*"})
    assert refuse["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    sender, sources = {
        "Events": ("events.amazonaws.com", {"<EventsRule.Arn>", "<EventsManaged.Arn>"}),
        "Budget": ("sns.amazonaws.com", {"<BudgetSpent>"}),
    }[name]
    for let in lets:
        asked = (let["Effect"], let["Action"], let["Principal"])
        assert asked == ("Allow", "sqs:SendMessage", {"Service": sender})
    assert {text(let["Condition"]["ArnEquals"]["aws:SourceArn"]) for let in lets} == sources
    assert len(lets) == len(sources)
    for statement in (refuse, *lets):
        assert text(statement["Resource"]) == f"<{name}Failed.Arn>"


@pytest.mark.parametrize(
    ("name", "caller", "sources"),
    [
        ("Events", "events.amazonaws.com", ["<EventsManaged.Arn>", "<EventsRule.Arn>"]),
        ("Budget", "sns.amazonaws.com", ["<BudgetSpent>"]),
    ],
)
def test_a_function_is_called_by_its_sources_alone(
    template: Template, name: str, caller: str, sources: list[str]
) -> None:
    found = [
        p
        for p in of_type(template, "Lambda::Permission").values()
        if text(p["FunctionName"]) == f"<{name}Function.Arn>"
    ]
    assert sorted((p["Action"], p["Principal"], text(p["SourceArn"])) for p in found) == [
        ("lambda:InvokeFunction", caller, source) for source in sources
    ]


def test_an_alarm_goes_off_at_the_first_sign(template: Template) -> None:
    alarms = of_type(template, "CloudWatch::Alarm")
    watched = set()
    for alarm in alarms.values():
        assert (alarm["Threshold"], alarm["EvaluationPeriods"], alarm["Period"]) == (1, 1, 300)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert [text(a) for a in alarm["AlarmActions"]] == ["<AlarmsTopic>"]
        where = tuple((d["Name"], text(d["Value"])) for d in alarm.get("Dimensions", ()))
        watched.add((alarm["Namespace"], alarm["MetricName"], alarm["Statistic"], where))
    waiting = "ApproximateNumberOfMessagesVisible"
    assert watched == {
        ("genai-stack/dev", "FailedJobs", "Sum", ()),
        ("AWS/SQS", waiting, "Maximum", (("QueueName", "<EventsFailed.QueueName>"),)),
        ("AWS/SQS", waiting, "Maximum", (("QueueName", "<BudgetFailed.QueueName>"),)),
    }
    counted = one(template, "Logs::MetricFilter")
    # A cancelled job is FAILED to Batch, by the reason it was cancelled with.
    assert counted["FilterPattern"] == (
        '{ ($.detail.TrainingJobStatus = "Failed") || '
        '(($.detail.status = "FAILED") && (($.detail.statusReason NOT EXISTS) || '
        f'($.detail.statusReason != "{CANCELLED}"))) }}'
    )
    assert text(counted["LogGroupName"]) == "<StorageStateChanges>"
    assert counted["MetricTransformations"] == [
        {"MetricName": "FailedJobs", "MetricNamespace": "genai-stack/dev", "MetricValue": "1"}
    ]
    (target,) = one(template, "Events::Rule", "AlarmsBlocked")["Targets"]
    assert text(target["Arn"]) == "<AlarmsTopic>"


@pytest.mark.parametrize(
    ("topic", "publishers"),
    [
        ("AlarmsTopic", {"budgets.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com"}),
        ("BudgetSpent", {"budgets.amazonaws.com"}),
    ],
)
def test_topics_are_encrypted_and_take_no_plain_http(
    template: Template, topic: str, publishers: set[str]
) -> None:
    assert text(one(template, "SNS::Topic", topic)["KmsMasterKeyId"]) == "<StorageKey.Arn>"
    policy = one(template, "SNS::TopicPolicy", topic)
    assert [text(t) for t in policy["Topics"]] == [f"<{topic}>"]
    refuse, *let = policy["PolicyDocument"]["Statement"]
    assert (refuse["Effect"], refuse["Action"], refuse["Principal"]) == ("Deny", "sns:Publish", "*")
    assert refuse["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    seen: set[str] = set()
    for statement in let:
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sns:Publish")
        services = statement["Principal"]["Service"]
        seen |= {services} if isinstance(services, str) else set(services)
        if services != "events.amazonaws.com":
            assert text(statement["Condition"]["StringEquals"]["aws:SourceAccount"]) == "<AWS::AccountId>"
    assert seen == publishers
    assert {text(s["Resource"]) for s in (refuse, *let)} == {f"<{topic}>"}


def test_a_spent_budget_closes_the_queues(template: Template) -> None:
    budget = one(template, "Budgets::Budget")
    assert budget["Budget"] == {
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 500, "Unit": "USD"},
        "CostFilters": {"Service": ["Amazon Elastic Compute Cloud - Compute"]},
    }
    warning, spent = budget["NotificationsWithSubscribers"]
    for notice, percent, topic in ((warning, 80, "<AlarmsTopic>"), (spent, 100, "<BudgetSpent>")):
        assert notice["Notification"] == {
            "NotificationType": "ACTUAL",
            "ComparisonOperator": "GREATER_THAN",
            "Threshold": percent,
            "ThresholdType": "PERCENTAGE",
        }
        (subscriber,) = notice["Subscribers"]
        assert (subscriber["SubscriptionType"], text(subscriber["Address"])) == ("SNS", topic)
    subscription = one(template, "SNS::Subscription")
    assert (subscription["Protocol"], text(subscription["Endpoint"])) == ("lambda", "<BudgetFunction.Arn>")
    assert text(subscription["TopicArn"]) == "<BudgetSpent>"
    assert text(subscription["RedrivePolicy"]["deadLetterTargetArn"]) == "<BudgetFailed.Arn>"


def test_a_budget_may_be_left_out_and_alarms_may_be_mailed(reserved: Template) -> None:
    assert not of_type(reserved, "Budgets::Budget")
    assert len(of_type(reserved, "Lambda::Function")) == 1
    subscription = one(reserved, "SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "me@example.com")
    assert text(subscription["TopicArn"]) == "<AlarmsTopic>"


def test_the_dashboard_shows_queues_gpus_and_money(template: Template) -> None:
    body = text(one(template, "CloudWatch::Dashboard")["DashboardBody"])
    widgets = json.loads(body)["widgets"]
    titles = [w["properties"].get("title") for w in widgets]
    assert titles == [
        "Jobs by queue and state",
        "Failed jobs",
        "GPU utilisation",
        "GPU memory in use",
        "vCPUs in use (whole account)",
        "Spend (USD, EC2)",
        None,
    ]
    assert "SOURCE '<StorageStateChanges>'" in widgets[0]["properties"]["query"]
    gpu = [metric[:4] for metric in widgets[2]["properties"]["metrics"]]
    assert gpu == [
        ["genai-stack/dev", "nvidia_smi_utilization_gpu", "fleet", "spot"],
        ["genai-stack/dev", "nvidia_smi_utilization_gpu", "fleet", "multi-node"],
    ]
    spend = widgets[5]["properties"]
    assert spend["region"] == "us-east-1"
    assert spend["metrics"][0][:2] == ["AWS/Billing", "EstimatedCharges"]
