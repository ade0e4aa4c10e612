"""`genai-stack adapt`, small and whole: examples in the prompt, an adapter trained on ten, both asked over the API."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.live import COMMAND, environment, processes_of


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_prompt_and_an_adapter_are_scored(tmp_path: Path) -> None:
    home, out = tmp_path / "home", tmp_path / "out"
    options = ["--count", "4", "--shots", "0", "--shots", "1", "--examples", "10", "--out", str(out), "--json"]
    result = subprocess.run(
        [*COMMAND, "adapt", "builtin", *options],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    points = json.loads(result.stdout)["points"]
    assert [(point["way"], point["examples"], point["score"]["n"]) for point in points] == [
        ("prompt", 0, 4),
        ("prompt", 1, 4),
        ("lora", 10, 4),
    ]
    assert points[-1]["steps"] >= 10
    assert (out / "adapting.png").read_bytes().startswith(b"\x89PNG")
    assert "requests failed" not in result.stderr
    assert not processes_of(home)
    print(f"trained in {points[-1]['seconds']} s, {points[-1]['steps']} steps")
