"""docs/training-on-aws.md and the recipe that needs a stage of its own say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genai_stack.config import StackConfig, parse_config
from genai_stack.machines import MACHINES
from genai_stack.training.spec import TrainingSpec, load
from tests.cdk.templates import Template, of_type
from tests.cli.commands import parsed

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/training-on-aws.md").read_text()
RECIPE = ROOT / "recipes/full-70b-multinode.toml"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[str]:
    return re.findall(r"^(?:#\s+)?(genai-stack [^#\n]+)", text, re.MULTILINE)


@pytest.mark.parametrize("command", [*commands("\n".join(blocks(""))), *commands(RECIPE.read_text())])
def test_a_command_is_one_the_cli_takes(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "requests.jsonl").touch()
    assert parsed(command).params["stage"] == "dev"


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_stage_can_be_configured_as_it_is_shown(text: str) -> None:
    assert parse_config(text) != StackConfig()


def test_every_published_parameter_is_named_and_no_other(template: Template) -> None:
    start = "/genai-stack/dev/training/"
    published = {p["Name"].removeprefix(start) for p in of_type(template, "SSM::Parameter").values()}
    listed = re.search(
        r"is published under `/genai-stack/<stage>/training/` in SSM: (.*?)\. ", GUIDE, re.DOTALL
    )
    assert listed
    assert set(re.findall(r"`([a-z-]+)`", listed[1])) == published


def test_the_recipe_for_many_nodes_fits_the_stage_it_asks_for() -> None:
    lines = RECIPE.read_text().splitlines()
    said = [line.removeprefix("#   ") for line in lines if re.match(r"#   (\[|[a-z_]+ = )", line)]
    many = parse_config("\n".join(said)).training.multi_node
    assert (
        many
        == next(c for c in map(parse_config, blocks("toml")) if c.training.max_hours == 72).training.multi_node
    )
    (command,) = commands(RECIPE.read_text())
    nodes = int(command.split()[-1])
    assert nodes * MACHINES[many.instance].vcpus <= many.max_vcpus
    spec = load(RECIPE)
    assert isinstance(spec, TrainingSpec)
    assert spec.hyperparameters.batch_size % (nodes * MACHINES[many.instance].gpus) == 0
    # Nodes of a stage with the default network reach S3 alone.
    assert spec.base.startswith("s3://")
