"""docs/models.md says what is so, and every command of docs/builtin-model.md is one."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from genai_stack.cli.root import root
from genai_stack.client.hosting import AsyncHosting
from genai_stack.config import parse_config
from tests.cli.commands import parsed

GUIDE, BUILTIN = (
    (Path(__file__).parents[2] / "docs" / name).read_text() for name in ("models.md", "builtin-model.md")
)


def blocks(language: str, guide: str = GUIDE) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize(
    "command", re.findall(r"^genai-stack [^#\n]+", f"{blocks('')}\n{blocks('', BUILTIN)}", re.MULTILINE)
)
def test_a_command_is_one_the_cli_takes(command: str) -> None:
    parsed(command)


def test_every_verb_is_told_of() -> None:
    models = root.commands["models"]
    assert isinstance(models, click.Group)
    assert all(f"models {verb}" in GUIDE or f"`{verb}`" in GUIDE for verb in models.commands)
    verbs = re.findall(
        r"`\.?(?:stack\.hosting\.)?(\w+)`", GUIDE.partition("In Python they are ")[2].partition("\n\n")[0]
    )
    assert len(verbs) == 8
    assert all(hasattr(AsyncHosting, verb) for verb in verbs)


def test_the_gate_is_one() -> None:
    (gate,) = parse_config(blocks("toml")).gates
    assert (gate.model, gate.at_least) == ("support", 0.6)
