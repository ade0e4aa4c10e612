"""What a shell sees: output, one line on stderr, an exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from genai_stack import __version__, wiring
from genai_stack.cli.run import run
from genai_stack.local.home import Home

VERBS = (
    "up",
    "train",
    "evaluate",
    "adapt",
    "batch",
    "chat",
    "anatomy",
    "models",
    "keys",
    "jobs",
    "usage",
    "doctor",
    "cost",
    "destroy",
    "serve",
    "quickstart",
    "completion",
)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "--help")
    assert code == 0
    assert all(f"\n  {verb} " in out for verb in VERBS)
    for verb in VERBS:
        code, out, _ = said(capsys, verb, "-h")
        assert (code, out.startswith("Usage: genai-stack")) == (0, True)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version") == (0, f"genai-stack {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [[], ["nope"], ["up", "--port", "many"], ["jobs", "show"], ["train"], ["models"]],
)
def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Usage: genai-stack" in err


def test_data_that_isn_t_there_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "train", "nowhere.jsonl")
    assert (code, out) == (2, "")
    assert err.startswith("genai-stack: nowhere.jsonl: No such file")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    code, out, err = said(capsys, "completion", shell)
    assert (code, err) == (0, "")
    assert "_GENAI_STACK_COMPLETE" in out


def test_completion_completes() -> None:
    told = {"COMP_WORDS": "genai-stack mo", "COMP_CWORD": "1", "_GENAI_STACK_COMPLETE": "bash_complete"}
    command = [sys.executable, "-m", "genai_stack"]
    result = subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, check=False)
    assert result.stdout == "plain,models\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["jobs", "show", "nope"], 1, "nope"),
        (["models", "show", "nope"], 1, "The model 'nope' does not exist"),
        (["models", "delete", "builtin"], 1, "builtin"),
        (["keys", "revoke", "nope"], 1, "no key 'nope'"),
    ],
)
def test_a_failure_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str
) -> None:
    got, out, err = said(capsys, *arguments)
    assert (got, out) == (code, "")
    assert err.startswith("genai-stack: ")
    assert err.count("\n") == 1
    assert says in err


def test_an_input_file_that_cannot_be_used_is_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "stack.toml"
    bad.write_text("[local]\nthread = 1\n")
    code, _, err = said(capsys, "up", "--config", str(bad))
    assert (code, err.startswith(f"genai-stack: {bad}:2: unknown key 'thread'")) == (2, True)
    data = tmp_path / "data.jsonl"
    data.write_text('{"messages": []}\n')
    code, _, err = said(capsys, "train", str(data))
    assert code == 2
    assert f"{data}: 1 faulty line" in err
    spec = tmp_path / "spec.toml"
    spec.write_text("nam = 'x'\n")
    code, _, err = said(capsys, "train", str(spec))
    assert (code, "did you mean 'name'" in err) == (2, True)
    code, _, err = said(capsys, "train", str(spec), "--epochs", "2")
    assert (code, "--epochs can't be used with a spec" in err) == (2, True)


def test_an_existing_model_directory_without_weights_is_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = said(capsys, "serve", str(tmp_path), "--port", "0")
    assert code == 2
    assert err.startswith("genai-stack: ")
    assert "safetensors" in err


def test_a_home_in_use_is_2_and_says_by_whom(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    with Home(home).lock() as occupancy:
        occupancy.announce("http://127.0.0.1:9999/v1")
        code, _, err = said(capsys, "up", "--port", "0")
    assert code == 2
    assert f"{home} is in use by process {os.getpid()} at http://127.0.0.1:9999/v1" in err


def test_a_port_in_use_is_2_and_says_which(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = said(capsys, "up", "--port", str(port))
    assert (code, err) == (
        2,
        f"genai-stack: port {port} of 127.0.0.1 is in use; give another --port, or 0 for a free one\n",
    )
    assert Home(home).running() is None


def test_a_home_that_cannot_be_made_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = said(capsys, "models", "list", "--home", str(tmp_path / "file" / "home"))
    assert (code, "can't be the home directory" in err) == (1, True)


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(wiring, "local_services", broken)
    with pytest.raises(ZeroDivisionError):
        run(["models", "list"])


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    script = f"{sys.executable} -m genai_stack keys --help | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
