"""A domain of one's own, and a private API: each a gateway by itself, checked as the whole stack is."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack.config import parse_config
from genai_stack.errors import ConfigError
from genai_stack.gateway import GatewayConfig
from tests.cdk.conftest import read_template
from tests.cdk.hosting.test_endpoints import spelled
from tests.cdk.templates import Template, of_type, one, text
from tests.cdk.test_mutations import settings, unnoticed

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0f0f0f0f-0000-4000-8000-000000000000"
OWN = f'domain = "a.example.com"\ncertificate = "{CERTIFICATE}"\n'
ENDPOINTS = ("vpce-0123456789abcdef0", "vpce-0123456789abcdef1")
DOMAIN = GatewayConfig(domain="api.example.com", certificate=CERTIFICATE, hosted_zone="Z0123456789")
PRIVATE = GatewayConfig(vpc_endpoints=ENDPOINTS)
REGIONAL = GatewayConfig()


@pytest.fixture(scope="module")
def synthesised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Template]:
    """A gateway of each kind, in a stack of its name; cdk-nag has passed them."""
    import aws_cdk as cdk
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_logs as logs
    from cdk_nag import AwsSolutionsChecks

    from cdk.app import new_app
    from cdk.constructs.acknowledge import acknowledge
    from cdk.constructs.gateway import Gateway

    out = tmp_path_factory.mktemp("address")
    app = new_app(str(out))
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    kinds = {
        "Domain": DOMAIN,
        "Bare": msgspec.structs.replace(DOMAIN, hosted_zone=""),
        "Private": PRIVATE,
        "Regional": REGIONAL,
    }
    for name, config in kinds.items():
        stack = cdk.Stack(app, name)
        role = iam.Role.from_role_arn(stack, "Role", "arn:aws:iam::123456789012:role/api")
        code = lambda_.Code.from_inline("pass")
        function = lambda_.Function(
            stack,
            "Api",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="x.y",
            code=code,
            role=role,
        )
        acknowledge(function, "L1", None, "the function is a stand-in for the application")
        log = logs.LogGroup(stack, "Log")
        gateway = Gateway(stack, "Gateway", stage="dev", config=config, function=function, log=log)
        acknowledge(gateway, "APIG3", None, "the firewall is the stack's, and has tests of its own")
        cdk.CfnOutput(stack, "Url", value=gateway.url)
    app.synth()
    return {name: read_template(out, name) for name in kinds} | {"where": {"path": str(out)}}


def check_domain(template: Template) -> None:
    assert spelled(one(template, "ApiGateway::DomainName")) == {
        "DomainName": "api.example.com",
        "EndpointConfiguration": {"Types": ["REGIONAL"]},
        "RegionalCertificateArn": CERTIFICATE,
        "SecurityPolicy": "TLS_1_2",
    }
    assert spelled(one(template, "ApiGateway::BasePathMapping")) == {
        "DomainName": "<GatewayDomain>",
        "RestApiId": "<GatewayApi>",
        "Stage": "<GatewayApiDeploymentStagedev>",
    }
    api = one(template, "ApiGateway::RestApi")
    assert api["DisableExecuteApiEndpoint"] is True
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def check_record(template: Template) -> None:
    assert spelled(one(template, "Route53::RecordSet")) == {
        "AliasTarget": {
            "DNSName": "<GatewayDomain.RegionalDomainName>",
            "HostedZoneId": "<GatewayDomain.RegionalHostedZoneId>",
        },
        "HostedZoneId": "Z0123456789",
        "Name": "api.example.com",
        "Type": "A",
    }


def check_private(template: Template) -> None:
    api = spelled(one(template, "ApiGateway::RestApi"))
    assert api["EndpointConfiguration"] == {"Types": ["PRIVATE"], "VpcEndpointIds": list(ENDPOINTS)}
    same = {"Action": "execute-api:Invoke", "Principal": {"AWS": "*"}, "Resource": "execute-api:/*"}
    refuse, allow = api["Policy"]["Statement"]
    ids = {"aws:SourceVpce": list(ENDPOINTS)}
    assert refuse == {**same, "Effect": "Deny", "Condition": {"StringNotEquals": ids}}
    assert allow == {**same, "Effect": "Allow", "Condition": {"StringEquals": ids}}


def test_a_domain_is_the_one_address(synthesised: dict[str, Template]) -> None:
    template = synthesised["Domain"]
    check_domain(template)
    check_record(template)
    assert template["Outputs"]["Url"]["Value"] == "https://api.example.com/v1"
    check_domain(synthesised["Bare"])
    assert not of_type(synthesised["Bare"], "Route53::RecordSet")


def test_a_private_api_answers_through_its_endpoints_alone(synthesised: dict[str, Template]) -> None:
    template = synthesised["Private"]
    check_private(template)
    url = text(template["Outputs"]["Url"]["Value"])
    assert url == f"https://<GatewayApi>-{ENDPOINTS[0]}.execute-api.<AWS::Region>.<AWS::URLSuffix>/dev/v1"


def test_without_either_it_has_aws_s_address_and_no_policy(synthesised: dict[str, Template]) -> None:
    template = synthesised["Regional"]
    api = one(template, "ApiGateway::RestApi")
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    assert not {"Policy", "DisableExecuteApiEndpoint"} & set(api)
    url = text(template["Outputs"]["Url"]["Value"])
    assert url == "https://<GatewayApi>.execute-api.<AWS::Region>.<AWS::URLSuffix>/dev/v1"


@pytest.mark.parametrize(
    ("name", "checks", "types"),
    [
        ("Domain", [check_domain, check_record], ("DomainName", "BasePathMapping", "RecordSet", "RestApi")),
        ("Private", [check_private], ("RestApi",)),
    ],
)
def test_no_setting_of_an_address_changes_unnoticed(
    synthesised: dict[str, Template], name: str, checks: list[Callable[..., None]], types: tuple[str, ...]
) -> None:
    mine = copy.deepcopy({i: r for i, r in synthesised[name]["Resources"].items() if r["Type"].endswith(types)})
    for resource in mine.values():
        if resource["Type"].endswith("RestApi"):
            for elsewhere in ("BinaryMediaTypes", "Description", "Name"):  # test_gateway's
                resource["Properties"].pop(elsewhere)
    template = {"Resources": mine}
    assert sum(1 for _ in settings(template)) >= 12
    assert unnoticed(template, checks) == []


@pytest.mark.slow
def test_cfn_lint_finds_nothing(synthesised: dict[str, Any]) -> None:
    run = "import sys; from cfnlint.runner import main; sys.exit(main())"
    where = Path(synthesised["where"]["path"])
    templates = [str(where / f"{name}.template.json") for name in ("Domain", "Private")]
    done = subprocess.run([sys.executable, "-c", run, "--", *templates], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('domain = "api.example.com"', "domain: name its certificate"),
        (f'certificate = "{CERTIFICATE}"', "certificate: it is for a domain"),
        ('hosted_zone = "Z01"', "hosted_zone: it is for a domain"),
        (
            f'domain = "a.example.com"\ncertificate = "{CERTIFICATE}"\nvpc_endpoints = ["{ENDPOINTS[0]}"]',
            "a private API",
        ),
        (
            f'domain = "a.example.com"\ncertificate = "{CERTIFICATE}"',
            "it is in eu-central-1, and the API in us-east-1",
        ),
        ('domain = "https://a.example.com"', "domain"),
        ('vpc_endpoints = ["vpc-1"]', "vpc_endpoints"),
        ('certificate = "arn:aws:iam::123456789012:server-certificate/x"', "certificate"),
    ],
)
def test_what_cannot_be_deployed_is_refused_at_its_line(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as refused:
        parse_config(f"[service.gateway]\n{text}\n", region="us-east-1")
    assert refused.value.line in (2, 3, 4)
