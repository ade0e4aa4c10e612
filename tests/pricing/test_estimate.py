"""Prices of templates made up here: nothing is dropped, and what isn't known is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.cli.root import root
from genai_stack.cli.run import run
from genai_stack.errors import ConfigError, InvalidSpec
from genai_stack.machines import MACHINES
from genai_stack.names import STAGE_TAG
from genai_stack.pricing import book
from genai_stack.pricing.estimate import FREE, KINDS, Charge, estimate
from genai_stack.pricing.load import NAMES, Load, parse
from genai_stack.pricing.templates import Template, read

BOOK = book.load()
REF: Any = {"Ref": "Parameter"}
ENVIRONMENT = {
    "Type": "AWS::Batch::ComputeEnvironment",
    "Properties": {
        "ComputeResources": {
            "Type": "SPOT",
            "MinvCpus": 0,
            "BidPercentage": 50,
            "InstanceTypes": ["g6.xlarge"],
            "Subnets": [],
        }
    },
}


def charges(resources: dict[str, Any], load: Load | None = None, prices: book.PriceBook = BOOK) -> list[Charge]:
    return estimate([Template("S", resources)], prices, load or Load()).charges


def one(type: str, load: Load | None = None, **properties: Any) -> list[Charge]:
    return charges({"It": {"Type": type, "Properties": properties}}, load)


@given(
    st.dictionaries(
        st.text(min_size=1),
        st.fixed_dictionaries(
            {"Type": st.sampled_from([*FREE, *KINDS, "AWS::New::Thing"])},
            optional={
                "Properties": st.dictionaries(
                    st.sampled_from(
                        [
                            "ComputeResources",
                            "Metrics",
                            "Rules",
                            "EndpointConfigName",
                            "SubnetIds",
                            "MemorySize",
                        ]
                    ),
                    st.none()
                    | st.integers()
                    | st.just(REF)
                    | st.lists(st.just(REF) | st.integers(), max_size=2),
                )
            },
        ),
        max_size=6,
    )
)
def test_no_resource_is_dropped_whatever_its_properties(resources: dict[str, Any]) -> None:
    found = estimate([Template("S", resources)], BOOK, Load())
    assert {charge.resource for charge in found.charges} == set(resources)
    assert all(charge.basis and charge.idle is None for charge in found.charges if charge.state == "unpriced")
    assert found.idle == pytest.approx(sum(c.idle for c in found.charges if c.idle is not None))


def test_a_kind_and_a_machine_that_nobody_knows_are_named() -> None:
    (charge,) = one("AWS::Neptune::DBCluster")
    assert (charge.state, charge.kind) == ("unpriced", "AWS::Neptune::DBCluster")
    strange = json.loads(json.dumps(ENVIRONMENT).replace("g6.xlarge", "x9.huge"))
    (charge,) = charges({"Fleet": strange})
    assert charge.state == "unpriced"
    assert "x9.huge" in charge.basis


def test_spot_is_bounded_by_the_bid() -> None:
    (charge,) = charges({"Fleet": ENVIRONMENT}, Load(training_hours=10))
    assert charge.idle == 0
    assert charge.load == pytest.approx(10 * 0.8048 * 0.5)
    assert "at most 50%" in charge.basis


@pytest.mark.parametrize(
    ("type", "properties", "reason"),
    [
        ("AWS::DynamoDB::Table", {"BillingMode": "PROVISIONED"}, "provisioned"),
        ("AWS::ApiGateway::Stage", {"CacheClusterEnabled": True}, "cache"),
        ("AWS::SageMaker::Endpoint", {"EndpointConfigName": "elsewhere"}, "elsewhere"),
        ("AWS::Batch::ComputeEnvironment", {"ComputeResources": {"Type": "FARGATE"}}, "FARGATE"),
        ("AWS::Batch::ComputeEnvironment", {"ComputeResources": {"Type": "EC2", "MinvCpus": 8}}, "MinvCpus"),
        ("AWS::Batch::ComputeEnvironment", {"ComputeResources": {"Type": "EC2", "MinvCpus": REF}}, "account"),
        ("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Interface", "SubnetIds": REF}, "account"),
        (
            "AWS::WAFv2::WebACL",
            {
                "Rules": [
                    {"Statement": {"ManagedRuleGroupStatement": {"Name": "AWSManagedRulesBotControlRuleSet"}}}
                ]
            },
            "price of their own",
        ),
    ],
)
def test_what_isnt_priced_says_why(type: str, properties: dict[str, Any], reason: str) -> None:
    (charge,) = one(type, **properties)
    assert charge.state == "unpriced"
    assert reason in charge.basis


def test_what_stands_is_billed_by_the_hour() -> None:
    assert sum(c.idle or 0 for c in one("AWS::EC2::NatGateway")) == pytest.approx(0.045 * 730)
    gateway = one("AWS::EC2::VPCEndpoint", VpcEndpointType="Gateway", RouteTableIds=REF)
    assert [c.state for c in gateway] == ["free"]
    (interface,) = one("AWS::EC2::VPCEndpoint", VpcEndpointType="Interface", SubnetIds=[REF, REF])
    assert interface.idle == pytest.approx(2 * 0.01 * 730)
    (fast,) = one("AWS::CloudWatch::Alarm", Period=10)
    assert fast.idle == pytest.approx(0.3)
    scaling = "AWS::ApplicationAutoScaling::ScalingPolicy"
    (tracking,) = one(scaling, PolicyType="TargetTrackingScaling")
    assert tracking.idle == pytest.approx(2 * 0.1)
    assert [c.state for c in one(scaling, PolicyType="StepScaling")] == ["free"]


def test_a_load_is_said_by_name() -> None:
    assert parse([]) == Load()
    assert parse(["requests-per-day=10, stored-gb=1.5", "hosting-hours=3"]) == Load(
        requests_per_day=10, stored_gb=1.5, hosting_hours=3
    )
    assert Load(requests_per_day=12, tokens_per_request=100).tokens == pytest.approx(12 * 100 * 365 / 12)
    for wrong in ("hours=1", "stored-gb", "stored-gb=-1", "stored-gb=x", "stored-gb=1,stored-gb=2"):
        with pytest.raises(InvalidSpec):
            parse([wrong])
    with pytest.raises(InvalidSpec, match="no answer would ever end"):
        parse(["tokens-per-second=0"])
    with pytest.raises(InvalidSpec, match="did you mean 'hosting-hours'"):
        parse(["host-hours=1"])


@pytest.mark.parametrize("name", NAMES)
def test_every_load_changes_what_something_costs(name: str) -> None:
    """Each is one that something honours."""
    resources = {
        "Fleet": ENVIRONMENT,
        "Many": {"Type": "AWS::Batch::ComputeEnvironment", "Properties": {"ComputeResources": {
            "Type": "EC2", "MinvCpus": 0, "InstanceTypes": ["g6e.12xlarge"]}}},
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Records": {"Type": "AWS::DynamoDB::Table", "Properties": {"BillingMode": "PAY_PER_REQUEST"}},
        "Api": {"Type": "AWS::ApiGateway::Stage"},
        "Method": {"Type": "AWS::ApiGateway::Method", "Properties": {"Integration": {"Uri": {"Ref": "F"}}}},
        "F": {"Type": "AWS::Lambda::Function", "Properties": {"MemorySize": 1024}},
        "C": {"Type": "AWS::SageMaker::EndpointConfig", "Properties": {"ProductionVariants": [
            {"InstanceType": "ml.g6.xlarge", "InitialInstanceCount": 0}]}},
        "E": {"Type": "AWS::SageMaker::Endpoint", "Properties": {"EndpointConfigName": {"Ref": "C"}}},
    }  # fmt: skip
    given = Load(requests_per_day=10.0)
    more = parse([f"{name}=60000", *([] if name == "requests-per-day" else ["requests-per-day=10"])])
    template = [Template("S", resources)]
    assert estimate(template, BOOK, more).load != pytest.approx(estimate(template, BOOK, given).load)


def test_own_prices_go_before_the_list(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('[ec2-hour]\n"x9.huge" = 7\n"g6.xlarge" = 0.5\n')
    mine = book.load(own)
    assert mine.price(book.Item("ec2-hour", "x9.huge")) == 7
    assert mine.price(book.Item("ec2-hour", "g6.xlarge")) == 0.5
    assert mine.price(book.Item("ec2-hour", "g5.xlarge")) == 1.006
    assert f"{own} before them" in mine.told()
    own.write_text('region = "eu-west-1"\nknown = "2026-01-02"\n[ec2-hour]\n"g6.xlarge" = 0.6\n')
    assert f"{own} (eu-west-1, 2026-01-02) before them" in book.load(own).told()
    for wrong in (
        "[ec2-hours]\na = 1",
        '[hour]\na = "1"',
        "[hour]\na = -1",
        "currency = 'EUR'",
        "x =",
        "hour = 1",
    ):
        own.write_text(wrong)
        with pytest.raises(ConfigError):
            book.load(own)


def test_the_book_says_of_when_it_is_and_knows_the_machines_it_names() -> None:
    assert BOOK.known in BOOK.told()
    assert "check before relying" in BOOK.told()
    assert set(BOOK.usd) == set(book.UNITS)
    assert set(BOOK.usd["ec2-hour"]) <= set(MACHINES)
    assert {name.removeprefix("ml.") for name in BOOK.usd["sagemaker-hour"]} <= set(MACHINES)
    for name, usd in BOOK.usd["sagemaker-hour"].items():
        assert 1.1 < usd / BOOK.usd["ec2-hour"][name.removeprefix("ml.")] < 1.5, name
    assert BOOK.price(book.Item("million", "api-request")) == pytest.approx(3.5e-6)


def test_without_templates_it_says_how_to_make_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["cost", "--templates", str(tmp_path / "none"), "--stage", "prod"]) == 2
    assert "run: npx aws-cdk@2.1148.1 synth --quiet -c stage=prod" in capfd.readouterr().err
    (tmp_path / "S.template.json").write_text("{}")
    assert run(["cost", "--templates", str(tmp_path)]) == 2
    (tmp_path / "S.template.json").write_text("[")
    assert run(["cost", "--templates", str(tmp_path)]) == 2
    assert "S.template.json" in capfd.readouterr().err


def test_what_synth_wrote_before_isnt_of_this_time(tmp_path: Path) -> None:
    """It leaves the template of a stack that is no longer asked for, and forgets it in the manifest."""
    for name in ("Old", "New"):
        (tmp_path / f"{name}.template.json").write_text(
            json.dumps({"Resources": {name: {"Type": "AWS::KMS::Key"}}})
        )
    properties = {"templateFile": "New.template.json", "stackName": "New-prod", "tags": {STAGE_TAG: "prod"}}
    artifact = {"type": "aws:cloudformation:stack", "properties": properties}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": {"New": artifact}}))
    assert [template.stack for template in read(tmp_path, "prod")] == ["New-prod"]
    assert [template.stack for template in read(tmp_path)] == ["New-prod"]


@pytest.mark.parametrize(
    ("type", "properties", "told"),
    [
        ("AWS::ApiGateway::Stage", {"MethodSettings": [{"MetricsEnabled": True}]}, "detailed metrics of each"),
        ("AWS::WAFv2::WebACL", {}, "bodies over 16 KB"),
    ],
)
def test_use_that_no_load_tells_has_its_name(type: str, properties: dict[str, Any], told: str) -> None:
    assert told in one(type, **properties)[0].uncounted


def test_it_is_a_table_and_a_document(tmp_path: Path) -> None:
    resources = {
        "K": {"Type": "AWS::KMS::Key"},
        "N": {"Type": "AWS::New::Thing"},
        "R": {"Type": "AWS::IAM::Role"},
    }
    (tmp_path / "S.template.json").write_text(json.dumps({"Resources": resources}))
    told = CliRunner().invoke(root, ["cost", "--templates", str(tmp_path)], catch_exceptions=False).stdout
    assert "total" in told
    assert "UNPRICED S N (AWS::New::Thing)" in told
    assert "Free: 1 AWS::IAM::Role." in told
    assert BOOK.told() in told
    document = json.loads(CliRunner().invoke(root, ["cost", "--json", "--templates", str(tmp_path)]).stdout)
    assert (document["idle"], len(document["charges"])) == (1.0, 3)
    assert document["usd_per_million_tokens"] is None
