"""The quickstart: its adapter beats the base, the same way every time, and nothing stays behind."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.live import COMMAND, environment, processes_of

ROOT = Path(__file__).parents[2]


def shortened(into: Path) -> Path:
    """What the quickstart needs of the repository: its recipe with a third of the steps, and a third of the questions.
    The whole of it is `make quickstart`, which fails the same way."""
    recipe = (ROOT / "recipes/quickstart.toml").read_text()
    assert recipe.count("epochs = 1.5\n") == 1
    questions = (ROOT / "examples/support-desk/heldout.jsonl").read_text().splitlines(keepends=True)
    for folder in ("recipes", "examples/support-desk"):
        (into / folder).mkdir(parents=True)
    (into / "recipes/quickstart.toml").write_text(recipe.replace("epochs = 1.5\n", "epochs = 0.5\n"))
    (into / "examples/support-desk/heldout.jsonl").write_text("".join(questions[::3]))
    (into / "examples/support-desk/train.jsonl").symlink_to(ROOT / "examples/support-desk/train.jsonl")
    return into


def quickstart(home: Path, directory: Path) -> tuple[int, Any]:
    result = subprocess.run(
        [*COMMAND, "quickstart", "--home", str(home), "--json"],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=directory,
        check=False,
    )
    assert result.stdout, result.stderr
    return result.returncode, json.loads(result.stdout)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_adapter_beats_the_base(tmp_path: Path) -> None:
    home = tmp_path / "quickstart"
    code, told = quickstart(home, shortened(tmp_path / "repository"))
    assert told["tuned"]["exact"] > told["base"]["exact"]
    assert code == 0
    assert not processes_of(home)
    print(f"{told['base']['exact']} → {told['tuned']['exact']} of {len(told['questions'])}; {told['seconds']}")


def test_it_says_where_it_can_run(tmp_path: Path) -> None:
    result = subprocess.run(
        [*COMMAND, "quickstart"],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "run the quickstart in the repository's directory" in result.stderr


def test_it_empties_no_directory_but_a_home(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    result = subprocess.run(
        [*COMMAND, "quickstart", "--home", str(tmp_path)],
        env=environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, "isn't a home directory" in result.stderr) == (2, True)
    assert (tmp_path / "precious").exists()
