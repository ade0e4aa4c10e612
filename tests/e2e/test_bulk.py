"""A batch of 200 lines and an evaluation through the command line, on the built-in model."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.bulk.tasks import write_task
from tests.live import COMMAND, environment


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments, "--home", str(home)],
        env=environment(home, HF_DATASETS_OFFLINE="1", HF_HOME=str(home.parent / "hf")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=home.parent,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_lines(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "in.jsonl"
    with file.open("w") as out:
        for n in range(200):
            body = {"model": "builtin", "messages": [{"role": "user", "content": f"Say {n}."}], "max_tokens": 8}
            body |= {"max_tokens": 10**6} if n == 77 else {}
            line = {"custom_id": f"r-{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}
            out.write(json.dumps(line) + "\n")
    answers = tmp_path / "answers.jsonl"
    told = command(home, "batch", str(file), "--model", "builtin", "--output", str(answers))
    assert (told.returncode, told.stdout) == (0, f"{answers}\n"), told.stderr
    assert "1 of 200 lines failed" in told.stderr
    entries = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [entry["custom_id"] for entry in entries] == [f"r-{n}" for n in range(200) if n != 77]
    assert all(entry["response"]["body"]["choices"][0]["message"]["content"] is not None for entry in entries)
    again = json.loads(command(home, "batch", str(file), "--model", "builtin", "--json").stdout)
    assert (again["job"]["state"], again["total"], again["completed"], again["failed"]) == (
        "succeeded",
        200,
        199,
        1,
    )
    assert len(json.loads(command(home, "jobs", "list", "--json").stdout)) == 1
    file.write_text("{}\n")
    refused = command(home, "batch", str(file), "--model", "builtin")
    assert (refused.returncode, "line 1: 'custom_id' is missing" in refused.stderr) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_evaluation(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    home = tmp_path / "home"
    tasks = write_task(tmp_path / "tasks")
    asked = ("evaluate", "builtin", "--tasks", "small_world", "--limit", "8", "--task-dir", str(tasks))
    told = command(home, *asked)
    assert told.returncode == 0, told.stderr
    header, row = told.stdout.splitlines()
    assert header.split()[:3] == ["task", "metric", "score"]
    assert row.split()[0] == "small_world"
    assert " to " in row
    (score,) = json.loads(command(home, *asked, "--json").stdout)["scores"]
    assert (score["n"], score["metric"]) == (8, "acc")
