"""The function, who it may be in the account, one right by one, and what people hear of it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from genai_stack import names
from genai_stack.config import ServiceConfig
from tests.cdk.hosting.test_endpoints import spelled
from tests.cdk.templates import Template, listed, of_type, one, plain, text

HERE = "<AWS::Region>:<AWS::AccountId>"
ARTEFACTS, KEY = "<StorageArtefacts.Arn>", "<StorageKey.Arn>"
TRAINING = "<SsmParameterValuegenaistackdevtraining{}C96584B6F00A464EAD1953AFF4B05118Parameter>"
WRITE = {"s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}


def arn(service: str, resource: str) -> str:
    return f"arn:<AWS::Partition>:{service}:{HERE}:{resource}"


def definition(kind: str) -> str:
    return arn("batch", f"{TRAINING.format(f'{kind}definition')}[5]")


BASE: list[tuple[str, set[str]]] = [
    ("<ApiLog.Arn>", {"logs:CreateLogStream", "logs:PutLogEvents"}),
    ("*", {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}),
    ("*", {"batch:DescribeJobs", "batch:ListJobs", "batch:DescribeJobQueues"}),
    *(
        (arn("ssm", f"parameter/genai-stack/dev/{layer}{below}"), {"ssm:GetParametersByPath"})
        for layer in ("training", "hosting")
        for below in ("", "/*")
    ),
    (
        "<StorageRecords.Arn>",
        {"dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem", "dynamodb:DeleteItem"},
    ),
    (KEY, {"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"}),
    (ARTEFACTS, {"s3:ListBucket"}),
    (f"{ARTEFACTS}/files/*", {"s3:GetObject", "s3:DeleteObject", *WRITE}),
    (f"{ARTEFACTS}/responses/*", {"s3:GetObject", "s3:DeleteObject", *WRITE}),
    (f"{ARTEFACTS}/jobs/*", {"s3:GetObject", *WRITE}),
    (f"{ARTEFACTS}/vectors/*", {"s3:GetObject", "s3:DeleteObject", *WRITE}),
    (
        "<StorageVectors.VectorBucketArn>/index/*",
        {
            *("s3vectors:CreateIndex", "s3vectors:DeleteIndex", "s3vectors:PutVectors"),
            *("s3vectors:DeleteVectors", "s3vectors:GetVectors", "s3vectors:QueryVectors"),
        },
    ),
    (TRAINING.format("spotqueue"), {"batch:SubmitJob"}),
    *((definition(kind) + any, {"batch:SubmitJob"}) for kind in ("train", "batch") for any in ("", ":*")),
    (arn("batch", "job/*"), {"batch:SubmitJob", "batch:TerminateJob"}),
]
INVOKE = {"sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"}
MODELS: list[tuple[str, set[str]]] = [
    *((arn("sagemaker", f"endpoint/{names.endpoint('dev', name)}"), INVOKE) for name in ("chat", "big")),
    (arn("sagemaker", f"endpoint/{names.endpoint('dev', 'film')}"), {"sagemaker:InvokeEndpointAsync"}),
    (
        arn("sagemaker", "inference-component/dev-*"),
        {
            *INVOKE,
            "sagemaker:DescribeInferenceComponent",
            "sagemaker:UpdateInferenceComponentRuntimeConfig",
            "sagemaker:DeleteInferenceComponent",
        },
    ),
    *(
        (
            arn("sagemaker", f"{kind}/genai-stack-dev-*"),
            {
                "sagemaker:CreateModelPackageGroup",
                "sagemaker:DescribeModelPackageGroup",
                "sagemaker:CreateModelPackage",
                "sagemaker:DescribeModelPackage",
                "sagemaker:UpdateModelPackage",
                "sagemaker:DeleteModelPackage",
            },
        )
        for kind in ("model-package-group", "model-package")
    ),
    ("*", {"sagemaker:ListModelPackages"}),
    (f"{ARTEFACTS}/{names.questions('film')}/*", {*WRITE, "s3:DeleteObject"}),
    (f"{ARTEFACTS}/{names.answers('film')}/*", {"s3:GetObject", "s3:DeleteObject"}),
]


def rights(template: Template) -> list[tuple[str, str]]:
    pairs = []
    for policy in of_type(template, "IAM::Policy").values():
        assert [text(role) for role in policy["Roles"]] == ["<ApiRole>"]
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            assert "Condition" not in statement
            pairs += [(text(r), a) for r in listed(statement["Resource"]) for a in listed(statement["Action"])]
    return sorted(pairs)


def flat(rows: list[tuple[str, set[str]]]) -> list[tuple[str, str]]:
    return sorted((resource, action) for resource, actions in rows for action in actions)


def test_the_api_may_do_what_the_table_says_and_no_more(template: Template) -> None:
    assert rights(template) == flat([*BASE, *MODELS])


def test_without_models_it_may_do_nothing_to_models(bare: Template) -> None:
    assert rights(bare) == flat(BASE)


def test_roles_are_taken_by_their_service(template: Template) -> None:
    taken = {
        plain(id): (
            spelled(role["AssumeRolePolicyDocument"]["Statement"]),
            spelled(role.get("ManagedPolicyArns")),
        )
        for id, role in of_type(template, "IAM::Role").items()
    }
    logs = "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"

    def trust(service: str) -> list[dict[str, Any]]:
        return [{"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": service}}]

    assert taken == {
        "ApiRole": (trust("lambda.amazonaws.com"), None),
        "GatewayApiCloudWatchRole": (trust("apigateway.amazonaws.com"), [logs]),
    }


def test_the_function_is_this(template: Template) -> None:
    function = spelled(one(template, "Lambda::Function"))
    variables = function.pop("Environment")["Variables"]
    assert len(variables.pop("HOSTED_MODELS")) == 16
    assert variables == {
        "AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap",
        "AWS_LWA_INVOKE_MODE": "response_stream",
        "AWS_LWA_PORT": "8080",
        "AWS_LWA_READINESS_CHECK_PATH": "/health",
        "GENAI_STACK_STAGE": "dev",
    }
    code = function.pop("Code")
    assert code["S3Bucket"] == "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"
    assert len(code["S3Key"]) == 64 + len(".zip")
    assert function == {
        "Architectures": ["arm64"],
        "Description": "The API of stage dev",
        "Handler": "run.sh",
        "Layers": ["arn:<AWS::Partition>:lambda:<AWS::Region>:753240598075:layer:LambdaAdapterLayerArm64:26"],
        "LoggingConfig": {"LogGroup": "<ApiLog>"},
        "MemorySize": 1769,
        "ReservedConcurrentExecutions": 100,
        "Role": "<ApiRole.Arn>",
        "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "Timeout": 900,
        "TracingConfig": {"Mode": "Active"},
    }


def test_another_catalogue_starts_it_anew(template: Template, bare: Template) -> None:
    told = [
        one(stack, "Lambda::Function")["Environment"]["Variables"]["HOSTED_MODELS"]
        for stack in (template, bare)
    ]
    assert told[0] != told[1]


def test_a_stage_may_set_nothing_aside(reserved: Template) -> None:
    function = one(reserved, "Lambda::Function")
    assert "ReservedConcurrentExecutions" not in function
    assert function["MemorySize"] == 512


@pytest.mark.parametrize("log", ["ApiLog", "Access"])
def test_logs_lie_under_our_key_and_are_forgotten(template: Template, log: str) -> None:
    group = one(template, "Logs::LogGroup", log)
    assert spelled(group) == {"KmsKeyId": KEY, "RetentionInDays": 30}


ALARMS = {
    "Failing": (
        5,
        {
            "Metrics": [
                {
                    "Expression": "IF(requests > 0, 100 * errors / requests, 0)",
                    "Id": "expr_1",
                    "Label": "Requests that failed (%)",
                    "ReturnData": True,
                },
                *(
                    {
                        "Id": id,
                        "MetricStat": {
                            "Metric": {
                                "Dimensions": [
                                    {"Name": "ApiName", "Value": "genai-stack-dev"},
                                    {"Name": "Stage", "Value": "<GatewayApiDeploymentStagedev>"},
                                ],
                                "MetricName": metric,
                                "Namespace": "AWS/ApiGateway",
                            },
                            "Period": 60,
                            "Stat": "Sum",
                        },
                        "ReturnData": False,
                    }
                    for id, metric in (("requests", "Count"), ("errors", "5XXError"))
                ),
            ]
        },
    ),
    **{
        id: (
            1,
            {
                "Dimensions": [{"Name": "FunctionName", "Value": "<ApiFunction>"}],
                "MetricName": metric,
                "Namespace": "AWS/Lambda",
                "Period": 60,
                "Statistic": "Sum",
            },
        )
        for id, metric in (("Dying", "Errors"), ("Full", "Throttles"))
    },
}


@pytest.mark.parametrize("id", list(ALARMS))
def test_people_hear_of_it(template: Template, id: str) -> None:
    threshold, what = ALARMS[id]
    alarm = spelled(one(template, "CloudWatch::Alarm", id))
    assert alarm.pop("AlarmDescription")
    assert alarm == {
        **what,
        "AlarmActions": ["<AlarmsTopic>"],
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "DatapointsToAlarm": 3,
        "EvaluationPeriods": 5,
        "Threshold": threshold,
        "TreatMissingData": "notBreaching",
    }
    assert len(of_type(template, "CloudWatch::Alarm")) == len(ALARMS)


def test_the_board_shows_requests_models_and_keys(template: Template) -> None:
    body = text(one(template, "CloudWatch::Dashboard")["DashboardBody"])
    titles = {widget["properties"]["title"] for widget in json.loads(body)["widgets"]}
    assert titles == {
        *("Requests", "Errors", "Latency (ms)", "Requests at once", "Models", "Keys", "Unexpected errors"),
    }


def test_limits_and_words_travel_with_the_code(tmp_path: Any) -> None:
    from cdk.constructs import api_bundle
    from genai_stack.config import load_config, parse_config

    words = 'Say "it"\n {from}in \\ {target}: {text} ü\x7f'
    own = {"model": "m", "prompt": words, "system": "", "phrases": {"from": "{source}!"}, "version": 2}
    text = "\n".join(f"{name} = {api_bundle._quoted(told)}" for name, told in own.items() if name != "phrases")
    tasks = parse_config(f"[tasks.translate]\n{text}\nphrases = {{from = '{{source}}!'}}").tasks

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api_bundle, "bundle_function", lambda *_, **__: None)
        api_bundle.bundle_api(ServiceConfig(max_body_bytes=5000, max_file_bytes=6000), tmp_path, tasks=tasks)
    config = load_config(tmp_path / "stack.toml")
    told = config.service
    assert config.tasks == tasks
    assert (told.max_body_bytes, told.max_file_bytes) == (5000, 6000)
    assert (tmp_path / "run.sh").stat().st_mode & 0o111
