"""Who may do what where models are hosted, one by one; and what people hear of it."""

from __future__ import annotations

import json
import re
import sys

import pytest

from genai_stack import names
from tests.cdk.hosting.test_endpoints import MODELS, spelled
from tests.cdk.templates import Template, listed, of_type, one, plain, text

HERE = "<AWS::Region>:<AWS::AccountId>"
ARTEFACTS = "<StorageArtefacts.Arn>"
PULL = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
WRITE_LOG = {"logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}
INTERFACES = {
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"),
    *("ec2:DeleteNetworkInterfacePermission", "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"),
}
SCALING = "sagemaker.application-autoscaling.amazonaws.com"
LINKED = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
WEIGHTS = ("models/*", "jobs/*/output/model/*", "jobs/*/output/merged/*")
ARCHIVES = "jobs/*/output/adapter.tar.gz"
PLACE = {"sagemaker:CreateInferenceComponent", "sagemaker:UpdateInferenceComponent"}
Rights = list[tuple[str, set[str]]]


def arn(service: str, resource: str) -> str:
    return f"arn:<AWS::Partition>:{service}:{HERE}:{resource}"


def model(name: str) -> Rights:
    groups = (
        names.endpoint_log(names.endpoint("dev", name)),
        names.component_log(names.component("dev", name)),
    )
    return [
        ("arn:<AWS::Partition>:ecr:<AWS::Region>:<Registries>:repository/vllm", PULL),
        ("*", {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}),
        ("<StorageKey.Arn>", {"kms:Decrypt"}),
        *((arn("logs", f"log-group:{group}{below}"), WRITE_LOG) for group in groups for below in ("", ":*")),
    ]


PROMOTED: Rights = [
    *((f"{ARTEFACTS}/{below}", {"s3:GetObject"}) for below in WEIGHTS),
    (ARTEFACTS, {"s3:ListBucket"}),
]
"""Nothing is promoted to a model that answers through S3."""
RIGHTS: dict[str, Rights] = {
    "chat31e06f7d89Role": [*model("chat"), *PROMOTED, (f"{ARTEFACTS}/{ARCHIVES}", {"s3:GetObject"})],
    "big2a21fe6d59Role": [
        *model("big"),
        *PROMOTED,
        ("*", INTERFACES),
        ("arn:<AWS::Partition>:s3:::weights/big-32b/*", {"s3:GetObject"}),
        ("arn:<AWS::Partition>:s3:::weights", {"s3:ListBucket"}),
    ],
    "filmd0607f7ad2Role": [
        *model("film"),
        (f"{ARTEFACTS}/{names.questions('film')}/*", {"s3:GetObject"}),
        (f"{ARTEFACTS}/{names.answers('film')}/*", {"s3:PutObject"}),
        ("<filmd0607f7ad2LongWorkTold>", {"sns:Publish"}),
        ("<StorageKey.Arn>", {"kms:GenerateDataKey"}),
    ],
    "PlacingComponentsRole": [
        ("<PlacingComponentsComponentsLog.Arn>", {"logs:CreateLogStream", "logs:PutLogEvents"}),
        ("<PlacingComponentsFailed.Arn>", {"sqs:SendMessage"}),
        ("<PlacingComponentsFunction.Arn>", {"lambda:InvokeFunction"}),
        *(
            (
                arn("sagemaker", resource),
                {
                    "sagemaker:CreateInferenceComponent",
                    "sagemaker:UpdateInferenceComponent",
                    "sagemaker:DescribeEndpoint",
                },
            )
            for resource in (
                "inference-component/dev-*",
                *(f"endpoint/{names.endpoint('dev', each)}" for each in ("chat", "big")),
            )
        ),
        (
            arn("sagemaker", "inference-component/dev-*"),
            {"sagemaker:DescribeInferenceComponent", "sagemaker:DeleteInferenceComponent"},
        ),
        (
            arn("sagemaker", "model/dev-v*"),
            {"sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:DeleteModel"},
        ),
        ("*", {"sagemaker:ListInferenceComponents", "sagemaker:ListModels"}),
        *((f"<{role}.Arn>", {"iam:PassRole"}) for role in ("chat31e06f7d89Role", "big2a21fe6d59Role")),
        (
            arn("application-autoscaling", "scalable-target/*"),
            {
                f"application-autoscaling:{verb}"
                for verb in (
                    *("RegisterScalableTarget", "DeregisterScalableTarget"),
                    *("PutScalingPolicy", "DeleteScalingPolicy"),
                )
            },
        ),
        *(
            (arn("cloudwatch", f"alarm:{name}"), {"cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"})
            for name in ("dev-*-from-zero", "TargetTracking-inference-component/dev-*")
        ),
        (
            f"arn:<AWS::Partition>:iam::<AWS::AccountId>:role/aws-service-role/{SCALING}/{LINKED}",
            {"iam:CreateServiceLinkedRole"},
        ),
    ],
    # The training stack's, for as long as models are hosted.
    "<EventsRole>": [
        *(
            (arn("sagemaker", resource), PLACE)
            for resource in (
                "inference-component/dev-*",
                *(f"endpoint/{names.endpoint('dev', each)}" for each in ("chat", "big")),
            )
        ),
        (
            arn("sagemaker", "inference-component/dev-*"),
            {"sagemaker:DescribeInferenceComponent", "sagemaker:DeleteInferenceComponent"},
        ),
        *(
            (
                arn("sagemaker", f"{kind}/genai-stack-dev-*"),
                {
                    "sagemaker:CreateModelPackageGroup",
                    "sagemaker:DescribeModelPackageGroup",
                    *(f"sagemaker:{verb}ModelPackage" for verb in ("Create", "Describe", "Update", "Delete")),
                },
            )
            for kind in ("model-package-group", "model-package")
        ),
        ("*", {"sagemaker:ListModelPackages"}),
        (f"{ARTEFACTS}/jobs/*", {"s3:PutObject", "s3:AbortMultipartUpload"}),
    ],
}
LISTED = {
    ARTEFACTS: {"StringLike": {"s3:prefix": list(WEIGHTS)}},
    "arn:<AWS::Partition>:s3:::weights": {"StringLike": {"s3:prefix": ["big-32b/*"]}},
}
"""A bucket's keys are seen below these prefixes alone."""
CONDITIONS = {
    "cloudwatch:PutMetricData": {"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
    "iam:PassRole": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
    "application-autoscaling:PutScalingPolicy": {
        "StringEquals": {
            "application-autoscaling:service-namespace": "sagemaker",
            "application-autoscaling:scalable-dimension": "sagemaker:inference-component:DesiredCopyCount",
        }
    },
    "iam:CreateServiceLinkedRole": {
        "StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}
    },
}


def test_a_role_may_do_what_the_table_says_and_no_more(template: Template) -> None:
    given: dict[str, list[tuple[str, str]]] = {}
    for policy in of_type(template, "IAM::Policy").values():
        (role,) = policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            conditions = [CONDITIONS.get(action) for action in listed(statement["Action"])]
            if statement["Action"] == "s3:ListBucket":
                conditions = [LISTED[text(statement["Resource"])]]
            assert statement.get("Condition") == next(filter(None, conditions), None)
            for resource in listed(statement["Resource"]):
                pairs = given.setdefault(plain(role["Ref"]) if "Ref" in role else text(role), [])
                pairs += [(text(resource), action) for action in listed(statement["Action"])]
    want = {role: sorted((r, a) for r, actions in rows for a in actions) for role, rows in RIGHTS.items()}
    assert {role: sorted(pairs) for role, pairs in given.items()} == want


def test_a_role_is_taken_by_its_service_for_this_account(template: Template) -> None:
    roles = of_type(template, "IAM::Role")
    assert {plain(id) for id in roles} == set(RIGHTS) - {"<EventsRole>"}
    for id, role in roles.items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        placing = plain(id) == "PlacingComponentsRole"
        service = "lambda.amazonaws.com" if placing else "sagemaker.amazonaws.com"
        assert (statement["Effect"], statement["Action"]) == ("Allow", "sts:AssumeRole")
        assert statement["Principal"] == {"Service": service}
        if not placing:
            assert text(statement["Condition"]["StringEquals"]["aws:SourceAccount"]) == "<AWS::AccountId>"
        assert "ManagedPolicyArns" not in role  # such as AmazonSageMakerFullAccess


def test_the_function_is_small_patient_and_loses_no_request(template: Template) -> None:
    function = one(template, "Lambda::Function")
    assert (function["Handler"], function["Architectures"]) == ("handler.handle", ["arm64"])
    assert function["Runtime"] == f"python3.{sys.version_info.minor}"
    assert text(function["Code"]["S3Bucket"]).startswith("cdk-hnb659fds-assets-")
    assert re.fullmatch(r"[0-9a-f]{64}\.zip", function["Code"]["S3Key"])
    assert function["Environment"] == {"Variables": {"GENAI_STACK_STAGE": "dev"}}
    assert (function["Timeout"], function["MemorySize"]) == (900, 512)
    assert text(function["Role"]) == "<PlacingComponentsRole.Arn>"
    assert text(function["DeadLetterConfig"]["TargetArn"]) == "<PlacingComponentsFailed.Arn>"
    assert text(function["LoggingConfig"]["LogGroup"]) == "<PlacingComponentsComponentsLog>"
    retries = one(template, "Lambda::EventInvokeConfig")
    assert text(retries["FunctionName"]) == "<PlacingComponentsFunction>"
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (2, 21600)
    assert retries["Qualifier"] == "$LATEST"
    log = one(template, "Logs::LogGroup")
    assert (text(log["KmsKeyId"]), log["RetentionInDays"]) == ("<StorageKey.Arn>", 30)
    queue = one(template, "SQS::Queue")
    assert queue == {"MessageRetentionPeriod": 14 * 86400, "SqsManagedSseEnabled": True}
    policy = one(template, "SQS::QueuePolicy")
    assert [text(q) for q in policy["Queues"]] == ["<PlacingComponentsFailed>"]
    (refuse,) = policy["PolicyDocument"]["Statement"]
    assert (refuse["Effect"], refuse["Action"], refuse["Principal"]) == ("Deny", "sqs:*", {"AWS": "*"})
    assert refuse["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert text(refuse["Resource"]) == "<PlacingComponentsFailed.Arn>"


def test_answers_are_told_encrypted_and_over_tls_alone(template: Template) -> None:
    assert spelled(one(template, "SNS::Topic")) == {"KmsMasterKeyId": "<StorageKey.Arn>"}
    policy = one(template, "SNS::TopicPolicy")
    assert [text(t) for t in policy["Topics"]] == ["<filmd0607f7ad2LongWorkTold>"]
    (refuse,) = policy["PolicyDocument"]["Statement"]
    assert (refuse["Effect"], refuse["Action"], refuse["Principal"]) == ("Deny", "sns:Publish", "*")
    assert refuse["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert text(refuse["Resource"]) == "<filmd0607f7ad2LongWorkTold>"


def alarm(template: Template, id: str) -> dict[str, object]:
    found: dict[str, object] = spelled(one(template, "CloudWatch::Alarm", id))
    assert found.pop("AlarmActions") == ["<AlarmsTopic>"]
    assert found.pop("ComparisonOperator") == "GreaterThanOrEqualToThreshold"
    assert found.pop("TreatMissingData") == "notBreaching"
    found.pop("AlarmDescription", None)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_failing_model_is_told_and_its_update_taken_back(template: Template, name: str) -> None:
    label = names.endpoint("dev", name)
    where = [{"Name": "EndpointName", "Value": label}, {"Name": "VariantName", "Value": "AllTraffic"}]
    found = alarm(template, f"AlarmsErrors{label.rpartition('-')[2]}")
    assert (found.pop("EvaluationPeriods"), found.pop("DatapointsToAlarm")) == (5, 3)
    errors = {"MetricName": "Invocation5XXErrors", "Namespace": "AWS/SageMaker", "Dimensions": where}
    if name == "film":  # SageMaker counts no requests of it
        assert found == {**errors, "Period": 60, "Statistic": "Sum", "Threshold": 1}
        return

    def sum_of(id: str, metric: dict[str, object]) -> dict[str, object]:
        return {
            "Id": id,
            "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"},
            "ReturnData": False,
        }

    assert found == {
        "Threshold": 5,
        "Metrics": [
            {
                "Expression": "IF(requests > 0, 100 * errors / requests, 0)",
                "Id": "expr_1",
                "Label": "Requests that failed (%)",
                "ReturnData": True,
            },
            sum_of("requests", {**errors, "MetricName": "Invocations"}),
            sum_of("errors", errors),
        ],
    }


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_does_not_come_up_is_told(template: Template, name: str) -> None:
    label = names.endpoint("dev", name)
    component = {"Name": "InferenceComponentName", "Value": names.component("dev", name)}
    waits = name == "film"
    assert alarm(template, f"AlarmsWaiting{label.rpartition('-')[2]}") == {
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity" if waits else "NoCapacityInvocationFailures",
        "Dimensions": [{"Name": "EndpointName", "Value": label} if waits else component],
        "Statistic": "Maximum",
        "Period": 300,
        "EvaluationPeriods": 6,
        "DatapointsToAlarm": 6,
        "Threshold": 1,
    }


def test_a_request_that_cannot_be_handled_is_told(template: Template) -> None:
    assert alarm(template, "AlarmsUnhandled") == {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": "<PlacingComponentsFailed.QueueName>"}],
        "Statistic": "Maximum",
        "Period": 300,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": 1,
    }
    assert len(of_type(template, "CloudWatch::Alarm")) == 2 * len(MODELS) + 1 + 1


def test_the_dashboard_has_a_row_for_each_model(template: Template) -> None:
    widgets = json.loads(text(one(template, "CloudWatch::Dashboard")["DashboardBody"]))["widgets"]
    titles = [w["properties"].get("title") or w["properties"]["markdown"] for w in widgets]
    always = ["Latency (µs)", "First chunk (µs)", "Errors"]
    placed = [*always, "Tokens a second, each copy", "Copies", "GPU memory (%)"]
    assert titles == [
        *("## chat (chat)", *placed),
        *("## big (chat)", *placed),
        *("## film (video)", *always, "Requests that wait", "GPU memory (%)"),
    ]
    tokens = widgets[4]["properties"]["query"]
    assert f"SOURCE '{names.component_log(names.component('dev', 'chat'))}'" in tokens
    memory = widgets[6]["properties"]["metrics"]
    assert memory[0][:2] == ["/aws/sagemaker/InferenceComponents", "GPUMemoryUtilizationNormalized"]
