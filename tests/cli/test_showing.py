"""What a person at a terminal sees, and what a pipe gets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from genai_stack.cli import show
from genai_stack.cli.banner import curl, python, show_banner
from genai_stack.cli.report import Outcome, Report, Score
from genai_stack.config import StackConfig, parse_config

URL, KEY = "http://127.0.0.1:8000/v1", "sk-x"


@pytest.fixture(params=[True, False], ids=["terminal", "pipe"])
def terminal(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_the_banner_has_what_is_needed(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    show_banner(URL, KEY, StackConfig(), Path("/somewhere/home"))
    out = capsys.readouterr().out
    for told in (
        URL,
        KEY,
        "/somewhere/home",
        "builtin, all-minilm-l6-v2",
        "genai-stack is ready",
        "Ctrl-C ends it.",
    ):
        assert told in out
    assert curl(URL, KEY, "builtin") in out  # whole lines, so that they paste as they are
    assert python(URL, KEY, "builtin") in out
    assert ("╭" in out) == terminal


def test_the_banner_says_which_models_are_not_served_here(capsys: pytest.CaptureFixture[str]) -> None:
    hosted = "[[model]]\nname='mine'\nsource='builtin'\n[[model]]\nname='big'\nsource='hf://o/big-32B'\n"
    show_banner(URL, KEY, parse_config(hosted + "instance='g6e.12xlarge'\n"), Path("/somewhere/home"))
    lines = capsys.readouterr().out.splitlines()
    assert "models:   mine" in lines
    assert "not here: big (hosted in an account)" in lines


def test_a_table_keeps_its_cells(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    show.rows(("name", "what"), [("a", "[b]"), ("longer", "c")], empty="nothing")
    lines = capsys.readouterr().out.splitlines()
    assert any("[b]" in line for line in lines)
    show.rows(("name",), [], empty="nothing")
    assert capsys.readouterr() == ("", "nothing\n")


def test_the_python_example_is_python() -> None:
    compile(python(URL, KEY, "m"), "example", "exec")


def outcome(before: int, after: int) -> Outcome:
    questions, right = ["one?", "two?"], ["1", "2"]
    return Outcome(
        job="ftjob-1",
        steps=5,
        examples=320,
        seconds={"training": 1.0, "hosting": 2.0, "service": 3.0},
        base=Score("builtin", before, ["", "x"], 0.01),
        tuned=Score("ft:builtin:d:1", after, ["1", "2"], 0.01),
        questions=questions,
        expected=right,
    )


def test_the_quickstart_s_summary(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(quiet=False)
    with report.asking(2) as asked:
        asked("builtin", "one?", "", "1")
        asked("ft:builtin:d:1", "one?", "1", "1")
    report.summary(outcome(0, 2), losses=(6.0, 0.5), home=Path.cwd() / "h")
    out = capsys.readouterr().out
    for told in (
        "✗ base   (nothing)",
        "✓ tuned  1",
        "0 of 2",
        "2 of 2",
        "100%",
        "loss 6.00 → 0.50",
        "up --home h\n",
    ):
        assert told in out
    assert "no better" not in out
    report.summary(outcome(1, 1), losses=(6.0, 0.5), home=Path("/h"))
    assert "no better" in capsys.readouterr().out
    Report(quiet=True).summary(outcome(0, 2), losses=(6.0, 0.5), home=Path("/h"))
    assert capsys.readouterr().out == ""
