"""`genai-stack evaluate MODEL` without tasks, against a real API over a fake host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from genai_stack.cli.run import run
from genai_stack.errors import ModelFailed
from genai_stack.scorecard import world
from tests.scorecard.knowing import CHAT, KnowingHost, api_of

FEW = ["evaluate", CHAT, "--count", "2", "--seed", "3"]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[KnowingHost]:
    made = KnowingHost()
    made.series = world.series(CHAT, list(world.MARKS), count=2, seed=3)
    with api_of(made) as endpoint:
        monkeypatch.setenv("GENAI_STACK_BASE_URL", endpoint.base_url)
        monkeypatch.setenv("GENAI_STACK_API_KEY", endpoint.key)
        yield made


def test_the_table_has_every_score_with_its_target(
    host: KnowingHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host.wrong = {"classify"}
    assert run(FEW) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["questions", "score", "95", "%", "interval", "n", "target", "reached"]
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "answer",
        "unstated",
        "classify",
        "translate",
        "summarize, facts kept",
        "summarize, none invented",
        "extract",
        *(f"mapping, {shots} example{'' if shots == 1 else 's'}" for shots in world.SHOTS),
        "explain",
        "mapping rises from 0 to 4 examples",
    ]
    assert lines[1].split() == "answer 100.0% 34.2% to 100.0% 2 95% yes".split()
    assert lines[3].split() == "classify 0.0% 0.0% to 65.8% 2 95% no".split()
    assert lines[-2].split() == "explain 100.0% 34.2% to 100.0% 2 - -".split()
    assert err == ""


def test_all_of_it_is_json_and_in_a_file(
    host: KnowingHost, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "answers.json"
    assert run([*FEW, "--only", "extract", "--only", "answer", "--json", "--out", str(file)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [score["name"] for score in told["scores"]] == ["answer", "extract"]
    assert (told["model"], told["count"], told["seed"], told["failed"]) == (CHAT, 2, 3, 0)
    assert told["mapping_rises"] is None
    kept = json.loads(file.read_text())
    assert kept["card"] == told
    assert [answer["series"] for answer in kept["answers"]] == ["answer", "answer", "extract", "extract"]
    for answer in kept["answers"]:
        assert answer["said"] == answer["expected"]
        assert answer["error"] is None


def test_failures_are_listed_and_count_as_wrong(host: KnowingHost, capsys: pytest.CaptureFixture[str]) -> None:
    host.failure = ModelFailed("the model broke")
    host.failure.should_retry = False
    assert run([*FEW, "--only", "translate"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:2] == ["translate", "0.0%"]
    assert err.startswith("2 of 2 requests failed, and count as wrong:\n  translate (2): ")
    assert "the model broke" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--limit", "5"], "--limit goes with --tasks"),
        (["--against", "weights"], "--against goes with --tasks"),
        (["--detach"], "--detach goes with --tasks"),
        (["--tasks", "arc", "--count", "5"], "--count is of the scorecard"),
        (["--tasks", "arc", "--max-in-flight", "5"], "--max-in-flight is of the scorecard"),
        (["--only", "riddles"], "'riddles' is no family; choose from answer, unstated"),
        (["--out", "nowhere/at/all.json"], "nowhere/at isn't there"),
        (["--stage", "dev", "--home", "."], "--home is on this machine"),
    ],
    ids=str,
)
def test_what_doesn_t_go_together_is_told_before_anything_is_asked(
    host: KnowingHost, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", CHAT, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert host.bodies == []


def test_a_model_that_isn_t_there_is_1(host: KnowingHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "nope", "--only", "answer", "--count", "1"]) == 1
    assert "model" in capsys.readouterr().err
    assert host.bodies == []


def test_the_guide_tells_of_every_family_and_its_target() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "builtin-model.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in guide.splitlines() if line[:3] == "| `"
    ]
    assert {row[0].split("`")[1] for row in rows} == set(world.MARKS)
    told = {row[0].replace("`", ""): row[3] for row in rows}
    for (name, measure), target in world.TARGETS.items():
        family = name.split(",")[0]
        row = f"{family}, {measure}" if family == "summarize" else family
        assert told[row].startswith(f"{target:.0%}".replace("%", " %")), row
