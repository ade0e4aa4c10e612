"""`genai-stack cost` over the templates that are really synthesised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from genai_stack.cli.root import root
from genai_stack.pricing.estimate import FREE, KINDS
from tests.cdk.conftest import read_template

STACKS = ("GenaiStack-Training", "GenaiStack-Hosting", "GenaiStack-Service")


def cost(assembly: Path, *more: str) -> dict[str, Any]:
    arguments = ["cost", "--json", "--templates", str(assembly), *more]
    return json.loads(CliRunner().invoke(root, arguments, catch_exceptions=False).stdout)  # type: ignore[no-any-return]


def idle(found: dict[str, Any], stack: str, kind: str = "") -> float:
    return sum(c["idle"] or 0 for c in found["charges"] if c["stack"] == stack and kind in c["kind"])


def test_each_resource_is_told_and_none_is_unpriced(hosting_assembly: Path, reserved_assembly: Path) -> None:
    for assembly, stage in ((hosting_assembly, "dev"), (reserved_assembly, "prod")):
        found = cost(assembly, "--stage", stage)
        told = {(charge["stack"], charge["resource"]) for charge in found["charges"]}
        made = {(f"{name}-{stage}", id) for name in STACKS for id in read_template(assembly, name)["Resources"]}
        assert told == made
        assert [charge for charge in found["charges"] if charge["state"] == "unpriced"] == []


def test_what_is_priced_or_free_is_in_a_template(hosting_assembly: Path, reserved_assembly: Path) -> None:
    there = {
        resource["Type"]
        for assembly in (hosting_assembly, reserved_assembly)
        for name in STACKS
        for resource in read_template(assembly, name)["Resources"].values()
    }
    elsewhere = {"AWS::CDK::Metadata", "AWS::EC2::SecurityGroupIngress"}
    assert (FREE | set(KINDS)) - elsewhere <= there


def test_an_idle_stage_costs_a_key_a_firewall_and_what_watches(assembly: Path) -> None:
    found = cost(assembly)
    assert idle(found, "GenaiStack-Training-dev") == pytest.approx(1.0 + 3.0 + 3 * 0.1)
    assert idle(found, "GenaiStack-Service-dev", "WAF") == pytest.approx(5.0 + 4 * 1.0)
    assert found["idle"] < 20
    assert found["idle"] == found["load"]


def test_a_model_that_is_always_up_costs_its_machine(hosting_assembly: Path) -> None:
    found = cost(hosting_assembly)
    assert idle(found, "GenaiStack-Hosting-dev", "Endpoint") == pytest.approx(13.1158 * 730)
    loaded = cost(hosting_assembly, "--load", "hosting-hours=10")
    more = 10 * (2.6054 + 13.1158 + 2.8026)
    assert loaded["load"] - loaded["idle"] == pytest.approx(more)


def test_gateways_and_endpoints_are_billed_around_the_clock(reserved_assembly: Path) -> None:
    found = cost(reserved_assembly)
    training = "GenaiStack-Training-prod"
    assert idle(found, training, "NatGateway") == pytest.approx(2 * 0.045 * 730)
    assert idle(found, training, "VPCEndpoint") == pytest.approx(3 * 0.01 * 730)
    assert idle(found, "GenaiStack-Hosting-prod", "Endpoint") == pytest.approx((2.6054 + 2.8026) * 730)
    assert "p5.48xlarge (ec2-hour)" in {charge["item"] for charge in found["charges"]}


def test_requests_hold_the_function_and_leave_by_the_gigabyte(hosting_assembly: Path) -> None:
    options = ("requests-per-day=12000", "tokens-per-request=100", "tokens-per-second=100")
    found = cost(hosting_assembly, *(word for option in options for word in ("--load", option)))
    by_item = {charge["item"]: charge["load"] for charge in found["charges"] if charge["load"]}
    requests = 12000 * 365 / 12
    assert by_item["api-request (million)"] == pytest.approx(requests * 3.5e-6)
    assert by_item["function-arm64 (gb-second)"] == pytest.approx(requests * 1 * 1769 / 1024 * 0.0000133334)
    assert by_item["data-out (gb)"] == pytest.approx(requests * 100 * 250 / 1e9 * 0.09)
    assert by_item["log (gb)"] > 0
    assert found["usd_per_million_tokens"] == pytest.approx(found["load"] / (requests * 100) * 1e6)
