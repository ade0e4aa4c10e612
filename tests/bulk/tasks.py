"""A task of lm-eval's kind that lies in a directory: which of four words is of the asked kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TASK = """
task: {name}
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
    aggregation: mean
    higher_is_better: true
metadata:
  version: 2.0
"""
KINDS = {
    "an animal": ["cat", "dog", "horse", "bird"],
    "a colour": ["red", "blue", "green", "white"],
    "a number": ["one", "two", "five", "ten"],
    "something to eat": ["bread", "apple", "soup", "cheese"],
}


def questions() -> list[dict[str, Any]]:
    found = []
    for turn in range(4):
        for at, (kind, words) in enumerate(KINDS.items()):
            others = [w[turn] for k, w in KINDS.items() if k != kind]
            answer = (turn + at) % 4
            choices = [*others[:answer], words[turn], *others[answer:]]
            question = f"Which of these is {kind}: {', '.join(choices)}? It is the"
            found.append({"question": question, "choices": [f" {c}" for c in choices], "answer": answer})
    return found


def write_task(directory: Path, name: str = "small_world") -> Path:
    """The directory, with the task and its 16 questions in it."""
    directory.mkdir(exist_ok=True)
    data = directory / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in questions()))
    (directory / f"{name}.yaml").write_text(TASK.format(name=name, data=data))
    return directory


def harness_here(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """lm-eval in this process: data sets are kept in `folder` and not looked for on the hub; pip isn't asked what is
    installed."""
    import datasets
    import lm_eval.evaluator

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(lm_eval.evaluator, "add_env_info", lambda results: None)
