"""The evaluation program over a tiny model: API and weights agree, a signal is survived, names are corrected."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack.bulk.evaluate import run as run_evaluation
from genai_stack.bulk.program import main
from genai_stack.bulk.specs import EvaluationSpec
from tests.bulk.conftest import lines_of, start
from tests.bulk.tasks import harness_here, write_task

pytest.importorskip("lm_eval")
pytestmark = pytest.mark.timeout(600)
OFFLINE = {"HF_DATASETS_OFFLINE": "1"}
Spec = Callable[..., Path]


@pytest.fixture
def spec(tmp_path: Path, tiny_model: Path) -> Spec:
    def make(**changes: Any) -> Path:
        plain: dict[str, Any] = {
            "model": {"name": "tiny", "source": str(tiny_model)},
            "tasks": ["small_world"],
            "task_dir": str(write_task(tmp_path / "tasks")),
            "output": str(tmp_path / "out"),
            "precision": "f32",
            "threads": 1,
        }
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({**plain, **changes}))
        return path

    return make


@pytest.fixture(autouse=True)
def _data_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `environment` says to another process, for this one."""
    harness_here(monkeypatch, tmp_path / "hf")


def evaluate(spec: Path) -> int:
    """The program, in this process: the one that is signalled shows that it starts by itself."""
    return main("genai_stack.bulk.evaluate", EvaluationSpec, run_evaluation, [str(spec)])


def environment(tmp_path: Path) -> dict[str, str]:
    return {**OFFLINE, "HF_HOME": str(tmp_path / "hf")}


# What lm-eval and the libraries under it have to say about each other.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_the_api_and_the_weights_score_the_same(spec: Spec, tmp_path: Path) -> None:
    found = {}
    for against in ("api", "weights"):
        output = tmp_path / against
        assert evaluate(spec(against=against, output=str(output))) == 0
        assert {p.name for p in output.iterdir()} == {
            "results.json", "manifest.json", "events.jsonl", "metrics.jsonl",
        }  # fmt: skip
        (found[against],) = json.loads((output / "results.json").read_text())["scores"]
        assert lines_of(output / "metrics.jsonl")[-1]["completed"] == 64
    assert found["api"] == found["weights"]
    assert (found["api"]["n"], found["api"]["version"], found["api"]["num_fewshot"]) == (16, "2.0", 0)
    assert found["api"]["stderr"] > 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_signal_keeps_what_was_answered(spec: Spec, tmp_path: Path, home: Path) -> None:
    path, output = spec(max_in_flight=2), tmp_path / "out"
    process = start("evaluate", path, home, **environment(tmp_path))
    deadline = time.monotonic() + 300
    while not (output / "answers.jsonl").exists() or len(lines_of(output / "answers.jsonl")) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 75, words[-2000:]
    kept = len(lines_of(output / "answers.jsonl"))
    assert 3 <= kept < 64
    assert evaluate(path) == 0
    told = [line["completed"] for line in lines_of(output / "metrics.jsonl")]
    assert told == sorted(told)
    assert told[-1] == 64
    before = (output / "results.json").read_bytes()
    assert evaluate(path) == 0
    assert (output / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tasks": []}, "tasks: Expected `array` of length >= 1"),
        ({"num_few_shot": 3}, "num_few_shot: no such key; did you mean 'num_fewshot'?"),
        ({"against": "wheights"}, "against: Invalid enum value 'wheights'"),
        ({"task_dir": "/nowhere"}, "task_dir: there is no directory /nowhere"),
    ],
)
def test_what_can_t_be_evaluated_is_refused_with_2(
    spec: Spec, changes: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(spec(**changes)) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("task", "nearest"), [("small_wurld", "small_world"), ("helaswag", "hellaswag")])
def test_an_unknown_task_names_the_nearest(
    spec: Spec, task: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(spec(tasks=[task])) == 2
    assert f"no task {task!r}; did you mean {nearest!r}" in capsys.readouterr().err
