"""docs/operating.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genai_stack.pricing import book
from genai_stack.pricing.load import NAMES
from tests.cli.commands import parsed

GUIDE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("command", re.findall(r"^genai-stack [^#\n]+", blocks(""), re.MULTILINE))
def test_a_command_is_one_the_cli_takes(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(blocks("toml"))
    parsed(command)


def test_every_load_is_told_of() -> None:
    table = re.search(r"\| `--load` \|.*?\n\n", GUIDE, re.DOTALL)
    assert table
    assert set(re.findall(r"`([a-z][a-z-]+)`", table[0])) == set(NAMES)


def test_own_prices_are_of_that_form(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(blocks("toml"))
    mine = book.load(tmp_path / "mine.toml")
    assert mine.price(book.Item("sagemaker-hour", "ml.g7e.12xlarge")) == 11.0
