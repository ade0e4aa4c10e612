"""docs/service-on-aws.md says what is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
import pytest

from genai_stack import names
from genai_stack.config import StackConfig, parse_config
from genai_stack.gateway import GatewayConfig
from genai_stack.service.keys import CACHE_SECONDS
from tests.cdk.service.conftest import NAME
from tests.cdk.service.test_gateway import KINDS
from tests.cdk.templates import Template, of_type, one
from tests.cli.commands import parsed

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/service-on-aws.md").read_text()


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [text for kind, text in fenced if kind == language]


def commands() -> list[str]:
    return re.findall(r"^(genai-stack [^#\n]+)", "\n".join(blocks("")), re.MULTILINE)


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_the_cli_takes(command: str) -> None:
    assert parsed(command).params["stage"] == "dev"


def test_the_settings_it_shows_can_be_made_and_all_are_in_its_table() -> None:
    (shown,) = blocks("toml")
    assert parse_config(shown).service.gateway != StackConfig().service.gateway
    table = GUIDE[GUIDE.index("| setting | says |") :].split("\n\n")[0]
    named = [word for row in table.splitlines()[2:] for word in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(field.name for field in msgspec.structs.fields(GatewayConfig))


def test_the_python_it_shows_is_python() -> None:
    (shown,) = blocks("python")
    ast.parse(shown.replace("…", "..."))


def test_the_commands_deploy_and_destroy_the_stack_with_the_cli_that_fits() -> None:
    found = re.findall(r"^npx (\S+) (\w+) ?(GenaiStack-\w+)?", "\n".join(blocks("")), re.MULTILINE)
    assert {version for version, _, _ in found} == {names.CDK_CLI}
    assert {(verb, stack) for _, verb, stack in found if stack} == {("deploy", NAME), ("destroy", NAME)}


def test_what_it_makes_is_what_there_is(template: Template) -> None:
    assert f"within {CACHE_SECONDS:.0f} seconds" in GUIDE
    assert f"`{names.parameter('<stage>', 'service', 'api-url')}`" in GUIDE
    assert len(of_type(template, "SSM::Parameter")) == 1
    assert (len(of_type(template, "Logs::LogGroup")), len(of_type(template, "CloudWatch::Alarm"))) == (2, 3)
    assert "its four rules" in GUIDE
    assert len(one(template, "WAFv2::WebACL")["Rules"]) == 4
    (row,) = re.findall(r"\| refusals of API Gateway itself \|.*", GUIDE)
    codes = {error.body()["error"]["code"] for error, _ in KINDS.values()}
    assert set(re.findall(r"`(\w+)`", row)) <= codes
    assert set(re.findall(r"`(/[\w.]+)`", GUIDE)) >= {"/health", "/openapi.json", "/metrics", "/ready"}
