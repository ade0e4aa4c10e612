"""What stands before the application: routes, streams, refusals, throttles, logs, the firewall."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from genai_stack.errors import (
    EngineFailed,
    Forbidden,
    GenAIStackError,
    NotFound,
    Overloaded,
    RequestError,
    TooLarge,
)
from tests.cdk.hosting.test_endpoints import spelled
from tests.cdk.templates import Template, of_type, one, plain, text

API, STAGE, FUNCTION = "<GatewayApi>", "<GatewayApiDeploymentStagedev>", "<ApiFunction.Arn>"
ROUTES = {("ANY", "/v1/{proxy+}"), ("GET", "/health"), ("GET", "/openapi.json")}
BODIES = {
    "CommonRuleSet": {
        *("SizeRestrictions_BODY", "CrossSiteScripting_BODY", "EC2MetaDataSSRF_BODY", "GenericLFI_BODY"),
        *("GenericRFI_BODY", "NoUserAgent_HEADER"),
    },
    "KnownBadInputsRuleSet": {"JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY"},
    "AmazonIpReputationList": set(),
}
LOGGED = {
    "requestId": "$context.requestId",
    "time": "$context.requestTimeEpoch",
    "address": "$context.identity.sourceIp",
    "method": "$context.httpMethod",
    "resource": "$context.resourcePath",
    "status": "$context.status",
    "error": "$context.error.responseType",
    "firewall": "$context.wafResponseCode",
    "bytes": "$context.responseLength",
    "ms": "$context.responseLatency",
}


def paths(template: Template) -> dict[str, str]:
    """Each resource's path by its logical id."""
    resources = of_type(template, "ApiGateway::Resource")

    def path(id: str) -> str:
        parent = resources[id]["ParentId"]
        assert text(resources[id]["RestApiId"]) == API
        above = "" if "Fn::GetAtt" in parent else path(parent["Ref"])
        if not above:
            assert text(parent) in ("<GatewayApi.RootResourceId>", "<GatewayApiv1>")
        return f"{above}/{resources[id]['PathPart']}"

    return {id: path(id) for id in resources}


def test_a_regional_api_whose_files_come_as_bytes(template: Template) -> None:
    assert one(template, "ApiGateway::RestApi") == {
        "BinaryMediaTypes": ["multipart/form-data", "application/octet-stream"],
        "Description": "genai-stack dev: OpenAI's API",
        "EndpointConfiguration": {"Types": ["REGIONAL"]},
        "Name": "genai-stack-dev",
    }


def test_these_routes_and_no_others_stream_from_the_function(template: Template) -> None:
    where = paths(template)
    found = set()
    for method in of_type(template, "ApiGateway::Method").values():
        path = where[method["ResourceId"]["Ref"]]
        found.add((method["HttpMethod"], path))
        said = spelled(method)
        assert said == {
            "AuthorizationType": "NONE",  # the application checks the key
            "HttpMethod": "GET" if path in ("/health", "/openapi.json") else "ANY",
            "ResourceId": f"<{plain(method['ResourceId']['Ref'])}>",
            "RestApiId": API,
            "Integration": {
                "IntegrationHttpMethod": "POST",
                "ResponseTransferMode": "STREAM",
                "TimeoutInMillis": 15 * 60 * 1000,
                "Type": "AWS_PROXY",
                "Uri": "arn:<AWS::Partition>:apigateway:<AWS::Region>:lambda:path/2021-11-15/functions/"
                f"{FUNCTION}/response-streaming-invocations",
            },
        }
    assert found == ROUTES
    assert set(where.values()) == {"/v1", *(path for _, path in found)}


def test_the_api_alone_invokes_the_function(template: Template) -> None:
    allowed = [spelled(p) for p in of_type(template, "Lambda::Permission").values()]
    here = f"arn:<AWS::Partition>:execute-api:<AWS::Region>:<AWS::AccountId>:{API}/{STAGE}"
    assert {p.pop("SourceArn") for p in allowed} == {
        f"{here}/*/v1/*",
        f"{here}/GET/health",
        f"{here}/GET/openapi.json",
    }
    for permission in allowed:
        assert permission == {
            "Action": "lambda:InvokeFunction",
            "FunctionName": FUNCTION,
            "Principal": "apigateway.amazonaws.com",
        }


def test_the_stage_throttles_traces_and_logs_no_more_than_it_says(template: Template) -> None:
    stage = spelled(one(template, "ApiGateway::Stage"))
    assert json.loads(stage["AccessLogSetting"].pop("Format")) == LOGGED
    assert re.fullmatch(r"<GatewayApiDeployment420AB2A8\w*>", stage.pop("DeploymentId"))
    assert stage == {
        "AccessLogSetting": {"DestinationArn": "<Access.Arn>"},
        "MethodSettings": [
            {
                "DataTraceEnabled": False,
                "HttpMethod": "*",
                "LoggingLevel": "OFF",
                "MetricsEnabled": True,
                "ResourcePath": "/*",
                "ThrottlingBurstLimit": 200,
                "ThrottlingRateLimit": 100,
            },
            # Those without a key take nothing of the others' share.
            *(
                {
                    "DataTraceEnabled": False,
                    "HttpMethod": "GET",
                    "LoggingLevel": "OFF",
                    "MetricsEnabled": True,
                    "ResourcePath": f"/~1{path}",
                    "ThrottlingBurstLimit": 20,
                    "ThrottlingRateLimit": 10,
                }
                for path in ("health", "openapi.json")
            ),
        ],
        "RestApiId": API,
        "StageName": "dev",
        "TracingEnabled": True,
    }
    assert spelled(one(template, "ApiGateway::Deployment")) == {
        "Description": "genai-stack dev: OpenAI's API",
        "RestApiId": API,
    }


def test_the_account_s_log_role_stays_when_the_stack_goes(template: Template) -> None:
    account = one(template, "ApiGateway::Account")
    assert spelled(account) == {"CloudWatchRoleArn": "<GatewayApiCloudWatchRole.Arn>"}
    kept = [
        r
        for id, r in template["Resources"].items()
        if id.startswith(("GatewayApiAccount", "GatewayApiCloudWatchRole"))
    ]
    assert len(kept) == 2
    assert all((r["DeletionPolicy"], r["UpdateReplacePolicy"]) == ("Retain", "Retain") for r in kept)


KINDS: dict[str, tuple[GenAIStackError, str | None]] = {
    "ACCESS_DENIED": (Forbidden(""), None),
    "DEFAULT_4XX": (RequestError(""), None),
    "DEFAULT_5XX": (GenAIStackError("", code="internal_error"), None),
    "INTEGRATION_FAILURE": (GenAIStackError("", code="overloaded"), "503"),
    "INTEGRATION_TIMEOUT": (EngineFailed("", code="timeout"), "504"),
    "INVALID_SIGNATURE": (NotFound("", code="unknown_route"), "404"),
    "MISSING_AUTHENTICATION_TOKEN": (NotFound("", code="unknown_route"), "404"),
    "REQUEST_TOO_LARGE": (TooLarge(""), None),
    "RESOURCE_NOT_FOUND": (NotFound("", code="unknown_route"), None),
    "THROTTLED": (Overloaded(""), None),
    "WAF_FILTERED": (Forbidden("", code="blocked"), None),
}
"""Each of API Gateway's refusals, and the error of ours that it reads like; the status where it is changed."""
NOT_AGAIN = {"ACCESS_DENIED", "INTEGRATION_TIMEOUT", "REQUEST_TOO_LARGE", "WAF_FILTERED"}


def test_api_gateway_refuses_in_openai_s_form(template: Template) -> None:
    refusals = {r["ResponseType"]: r for r in of_type(template, "ApiGateway::GatewayResponse").values()}
    assert set(refusals) == set(KINDS)
    for kind, refusal in refusals.items():
        like, status = KINDS[kind]
        ours = like.body()["error"]
        templates = refusal["ResponseTemplates"]
        assert list(templates) == ["application/json"]
        error = json.loads(templates["application/json"])["error"]
        assert {**error, "message": ""} == {**ours, "message": ""}, kind
        assert re.fullmatch(r"[A-Z].{20,}\.", error["message"])
        headers: dict[str, str] = {"gatewayresponse.header.x-request-id": "context.requestId"}
        if kind in NOT_AGAIN:
            headers["gatewayresponse.header.x-should-retry"] = "'false'"
        if kind == "THROTTLED":
            headers["gatewayresponse.header.retry-after"] = "'1'"
        assert refusal["ResponseParameters"] == headers
        assert refusal.get("StatusCode") == status
        assert text(refusal["RestApiId"]) == API
        assert set(refusal) <= {
            *("ResponseParameters", "ResponseTemplates", "ResponseType", "RestApiId", "StatusCode"),
        }


def seen(name: str) -> dict[str, Any]:
    return {
        "CloudWatchMetricsEnabled": True,
        "MetricName": f"genai-stack-dev-{name}",
        "SampledRequestsEnabled": False,
    }


def test_the_firewall_lets_prompts_through_and_holds_back_floods(template: Template) -> None:
    acl = one(template, "WAFv2::WebACL")
    rules = {rule["Name"]: rule for rule in acl["Rules"]}
    assert [rule["Priority"] for rule in acl["Rules"]] == [0, 1, 2, 3]
    flood = rules.pop("Flood")
    assert {key: value for key, value in flood.items() if key != "Priority"} == {
        "Name": "Flood",
        "Action": {"Block": {}},
        "Statement": {
            "RateBasedStatement": {"AggregateKeyType": "IP", "EvaluationWindowSec": 300, "Limit": 3000}
        },
        "VisibilityConfig": seen("Flood"),
    }
    assert set(rules) == set(BODIES)
    for name, rule in rules.items():
        group = rule["Statement"]["ManagedRuleGroupStatement"]
        overrides = group.get("RuleActionOverrides", [])
        assert {o["Name"] for o in overrides} == BODIES[name]
        assert all(o == {"Name": o["Name"], "ActionToUse": {"Count": {}}} for o in overrides)
        assert (group["VendorName"], group["Name"]) == ("AWS", f"AWSManagedRules{name}")
        assert rule["OverrideAction"] == {"None": {}}
        assert rule["VisibilityConfig"] == seen(name)
    assert {key: value for key, value in acl.items() if key != "Rules"} == {
        "AssociationConfig": {"RequestBody": {"API_GATEWAY": {"DefaultSizeInspectionLimit": "KB_64"}}},
        "DefaultAction": {"Allow": {}},
        "Scope": "REGIONAL",
        "VisibilityConfig": seen("Firewall"),
    }
    assert spelled(one(template, "WAFv2::WebACLAssociation")) == {
        "ResourceArn": f"arn:<AWS::Partition>:apigateway:<AWS::Region>::/restapis/{API}/stages/{STAGE}",
        "WebACLArn": "<Firewall.Arn>",
    }


@pytest.mark.parametrize("limit", ["Rate", "Burst"])
def test_another_stage_has_limits_of_its_own(reserved: Template, limit: str) -> None:
    settings, *_ = one(reserved, "ApiGateway::Stage")["MethodSettings"]
    assert settings[f"Throttling{limit}Limit"] == {"Rate": 7, "Burst": 9}[limit]
    rules = one(reserved, "WAFv2::WebACL")["Rules"]
    assert rules[0]["Statement"]["RateBasedStatement"]["Limit"] == 50
