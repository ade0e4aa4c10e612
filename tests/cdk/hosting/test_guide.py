"""docs/hosting-on-aws.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from genai_stack import names
from genai_stack.catalogue import ModelConfig
from genai_stack.choices import ASYNCHRONOUS, LORA_RANK
from genai_stack.config import parse_config
from genai_stack.containers import CONTAINERS, NEWEST_AMI
from genai_stack.errors import ConfigError
from tests.cdk.hosting.conftest import NAME
from tests.cdk.templates import Template, of_type

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/hosting-on-aws.md").read_text()


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return [text for kind, text in fenced if kind == language]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below the line that starts so."""
    table = GUIDE[GUIDE.index(heading) :].split("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_the_model_it_shows_is_the_catalogue_s() -> None:
    (shown,) = blocks("toml")
    assert parse_config(shown).hosted_models
    commented = "\n".join(f"#{line}" for line in shown.strip().splitlines())
    assert commented in (ROOT / "stack.toml").read_text()


def test_every_setting_is_in_its_table_and_no_other() -> None:
    named = [word for cells in rows("| setting | says |") for word in words(cells[0])]
    fields = [field.name for field in msgspec.structs.fields(ModelConfig)]
    assert sorted(named) == sorted(set(fields) - {"name"})
    assert f"of a rank up to {LORA_RANK}" in GUIDE


def test_each_task_s_container_is_the_one_it_gets() -> None:
    told = {task: words(cells[1])[0] for cells in rows("| task | container |") for task in words(cells[0])}
    assert told == {task: f"{c.repository}:{c.tag}" for task, c in CONTAINERS.items()}
    late = [t for cells in rows("| task | container |") if "S3" in cells[2] for t in words(cells[0])]
    assert tuple(late) == ASYNCHRONOUS
    assert {c.cuda for c in CONTAINERS.values()} == {(13, 0)}
    assert f"bring CUDA 13.0 and run on\n`{NEWEST_AMI}`" in GUIDE or f"run on `{NEWEST_AMI}`" in GUIDE


def test_the_refusal_it_shows_is_the_one_that_comes() -> None:
    shown = " ".join(next(b for b in blocks("") if "stack.toml:5" in b).split())
    text = "[[model]]\nname = 'q'\nsource = 'hf://Qwen/Qwen3-4B'\ninstance = 'g6e.xlarge'\ncontext = 500000\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert str(caught.value) == shown


def test_a_network_that_reaches_no_hub_is_refused_as_it_says() -> None:
    (refused,) = [cells for cells in rows("| `source` | the container |") if "is refused" in cells[1]]
    assert 'egress = "endpoints"' in refused[0]
    text = "[[model]]\nname='q'\nsource='hf://o/q-4B'\ninstance='g6e.xlarge'\n[training.network]\negress='{}'\n"
    for egress in ("public", "nat"):
        assert parse_config(text.format(egress)).hosted_models
    with pytest.raises(ConfigError, match="reaches no hub"):
        parse_config(text.format("endpoints"))


def test_the_commands_deploy_and_destroy_the_stack_with_the_cli_that_fits() -> None:
    commands = re.findall(r"^npx (\S+) (\w+) ?(GenaiStack-\w+)?", "\n".join(blocks("")), re.MULTILINE)
    assert {version for version, _, _ in commands} == {names.CDK_CLI}
    assert {(verb, stack) for _, verb, stack in commands if stack} == {("deploy", NAME), ("destroy", NAME)}
    assert names.remedy("hosting", "prod") == f"run: npx {names.CDK_CLI} deploy {NAME} -c stage=prod"


def test_what_it_makes_is_what_there_is(template: Template) -> None:
    models = len(of_type(template, "SageMaker::Endpoint"))
    assert len(of_type(template, "SageMaker::ModelPackageGroup")) == models
    from_zero = sum("LongWork" in id for id in of_type(template, "CloudWatch::Alarm"))
    assert len(of_type(template, "CloudWatch::Alarm")) == 2 * models + 1 + from_zero
    start = names.parameter("<stage>", "hosting", "models/")
    assert f"`{start}`" in GUIDE
    assert len(of_type(template, "SSM::Parameter")) == models
