"""The new task's questions, examples and recipe, and what is kept of the outcome."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import pytest

from genai_stack.cli.adapting_files import write
from genai_stack.scorecard import adapting
from genai_stack.scorecard.asking import Answered
from genai_stack.scorecard.scores import score
from genai_stack.training.spec import parse
from genai_stack.training.world import support_desk

ROOT = Path(__file__).parents[2]
DESK = ROOT / "examples" / "support-desk"


def chats(name: str) -> list[object]:
    return [json.loads(line) for line in (DESK / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_task_is_the_support_desks() -> None:
    assert adapting.examples(1000)[: support_desk.TRAIN] == chats("train")
    asked = adapting.in_prompt("builtin", 0, 60).questions
    assert len(asked) == 60
    for question, chat in zip(asked, chats("heldout"), strict=False):
        assert {
            "messages": [*question.body["messages"], {"role": "assistant", "content": question.expected}]
        } == chat


def test_examples_in_the_prompt_are_earlier_turns_and_more_of_them_begin_with_fewer() -> None:
    shown = {json.dumps(example["messages"]) for example in adapting.examples(support_desk.TRAIN)}
    series = {shots: adapting.in_prompt("builtin", shots, 5) for shots in adapting.SHOTS}
    for number, question in enumerate(series[8].questions):
        turns = question.body["messages"]
        assert len(turns) == 17
        pairs = [turns[at : at + 2] for at in range(0, 16, 2)]
        assert all(json.dumps(pair) in shown for pair in pairs)
        assert len({json.dumps(pair) for pair in pairs}) == 8
        for shots, fewer in series.items():
            other = fewer.questions[number]
            assert other.body["messages"] == [*turns[: 2 * shots], turns[-1]]
            assert other.expected == question.expected
    first, second = (json.dumps(question.body["messages"][:2]) for question in series[1].questions[:2])
    assert first != second, "each question has examples of its own"


def test_the_recipe_is_the_quickstarts() -> None:
    recipe = tomllib.loads((ROOT / "recipes" / "quickstart.toml").read_text())
    assert recipe["hyperparameters"] == adapting.RECIPE
    assert recipe["seed"] == adapting.SEED
    assert adapting.hyperparameters(support_desk.TRAIN) == adapting.RECIPE


def test_fewer_examples_are_gone_through_more_often() -> None:
    passes = [adapting.hyperparameters(count)["epochs"] for count in (1, 10, 100, 960, 1000, 5000)]
    assert passes == sorted(passes, reverse=True)
    assert passes[-2:] == [1.5, 1.5]
    learned = [count * adapting.hyperparameters(count)["epochs"] for count in adapting.EXAMPLES]
    assert learned == sorted(learned), "and yet fewer take less time"
    for count in adapting.EXAMPLES:
        parse(
            {
                "name": "desk",
                "method": "lora",
                "data": {"train": "x.jsonl"},
                "output": "out",
                "hyperparameters": adapting.hyperparameters(count),
            }
        )


POINTS = [
    adapting.Point("prompt", 0, "builtin", score("0 in the prompt", [False] * 4)),
    adapting.Point("prompt", 8, "builtin", score("8 in the prompt", [True, False] * 2)),
    adapting.Point("lora", 1000, "ft:builtin:desk-1000:0a", score("LoRA on 1000", [True] * 4), 30.5, 90),
]


@pytest.mark.parametrize("points", [POINTS, POINTS[:1], POINTS[-1:]], ids=["both", "prompt", "lora"])
def test_a_picture_a_table_and_json_are_kept(tmp_path: Path, points: list[adapting.Point]) -> None:
    question = adapting.in_prompt("builtin", 1, 1).questions[0]
    answer = Answered(
        "1 in the prompt", "builtin", "chat", question.body, question.expected, (), "No.", {"exact": False}
    )
    picture, table, whole = write(tmp_path, "builtin", points, [answer])
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    kept = json.loads(whole.read_text())
    assert kept["model"] == "builtin"
    assert kept["answers"][0]["question"] == question.body["messages"][-1]["content"]
    assert (kept["answers"][0]["said"], kept["answers"][0]["expected"]) == ("No.", question.expected)
    assert len(rows) == len(kept["points"]) == len(points)
    for row, told, point in zip(rows, kept["points"], points, strict=True):
        assert (row["way"], int(row["examples"]), row["model"]) == (point.way, point.examples, point.model)
        assert float(row["score"]) == told["score"]["score"] == point.score.score
        assert float(row["low"]) <= float(row["score"]) <= float(row["high"])
        assert row["seconds"] == ("" if point.seconds is None else str(point.seconds))
