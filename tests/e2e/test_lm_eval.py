"""lm-eval's `local-completions` through the API and `hf` on the same weights: one task, one score."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genai_stack import builtin
from tests.live import Live, environment

PROGRAM = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

tasks, *models = sys.argv[1:]
for asked in map(json.loads, models):
    result = simple_evaluate(
        model=asked["model"], model_args=asked["arguments"], tasks=["small_world"], batch_size=asked["batch"],
        task_manager=TaskManager(include_path=tasks, include_defaults=False), bootstrap_iters=0,
    )
    found = result["results"]["small_world"]
    scores = {k: v for k, v in found.items() if k.startswith("acc") and "stderr" not in k}
    told = [[r[0][0] for r in sample["resps"]] for sample in result["samples"]["small_world"]]
    print(json.dumps({"scores": scores, "told": told}))
"""
TASK = """
task: small_world
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""
KINDS = {
    "an animal": ["cat", "dog", "horse", "bird"],
    "a colour": ["red", "blue", "green", "white"],
    "a number": ["one", "two", "five", "ten"],
    "something to eat": ["bread", "apple", "soup", "cheese"],
}


def questions() -> list[dict[str, Any]]:
    """One word of each kind to choose from, the right one at every place in turn."""
    found = []
    for turn in range(4):
        for at, (kind, words) in enumerate(KINDS.items()):
            for word in words:
                others = [w[turn] for k, w in KINDS.items() if k != kind]
                answer = (turn + at) % 4
                choices = [*others[:answer], word, *others[answer:]]
                question = f"Which of these is {kind}: {', '.join(choices)}? It is the"
                found.append({"question": question, "choices": [f" {c}" for c in choices], "answer": answer})
    return found


def evaluated(directory: Path, *models: dict[str, Any], **extra: str) -> list[dict[str, Any]]:
    """What the task in `directory` finds about each model."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory), *map(json.dumps, models)],
        env=environment(directory, HF_DATASETS_OFFLINE="1", HF_HOME=str(directory / "hf"), **extra),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"scores"')]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_api_and_the_weights_score_the_same(live: Live, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in questions()))
    (tmp_path / "small_world.yaml").write_text(TASK.format(data=data))
    weights = str(builtin.model_dir())
    api = {"model": "builtin", "base_url": f"{live.base_url}/completions", "tokenizer": weights}
    torch = {"pretrained": weights, "device": "cpu", "dtype": "float32"}
    through_api, on_weights = evaluated(
        tmp_path,
        {"model": "local-completions", "arguments": {**api, "num_concurrent": 4}, "batch": 1},
        {"model": "hf", "arguments": torch, "batch": 16},
        OPENAI_API_KEY=live.key,
    )
    assert through_api["scores"] == on_weights["scores"]
    far = max(
        abs(a - b)
        for ours, theirs in zip(through_api["told"], on_weights["told"], strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    print(f"scores {on_weights['scores']}; log-likelihoods differ by {far:.4f} at the most")
