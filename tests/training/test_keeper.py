"""Keeping the program running where nobody runs it again for its exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from genai_stack import settings
from genai_stack.training import keeper
from genai_stack.training.keeper import keep


def program(tmp_path: Path, body: str) -> list[str]:
    """Counts its runs in a file, `n` being this one's number, and does `body`."""
    count = tmp_path / "count"
    script = (
        f"import os, pathlib, signal, sys, time\nfile = pathlib.Path({str(count)!r})\n"
        "n = len(file.read_text()) + 1 if file.exists() else 1\nfile.write_text('x' * n)\n"
    )
    return [sys.executable, "-c", script + body]


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "count").read_text())


@pytest.mark.parametrize(("body", "code", "count"), [
    ("sys.exit(75 if n < 3 else 0)", 0, 3),
    ("sys.exit(75)", 75, keeper.ATTEMPTS),
    ("sys.exit(2)", 2, 1),
    ("os.kill(os.getpid(), signal.SIGKILL)", 137, 1),
])  # fmt: skip
def test_an_interruption_from_within_is_run_again_here(
    tmp_path: Path, body: str, code: int, count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert keep(program(tmp_path, body)) == code
    assert runs(tmp_path) == count


def test_what_sigterm_interrupted_waits_to_be_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "KILLED_SECONDS", 0.1)
    ready = tmp_path / "ready"
    body = (
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        f"pathlib.Path({str(ready)!r}).touch()\ntime.sleep(60)"
    )

    def stop() -> None:
        while not ready.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=stop)
    thread.start()
    assert keep(program(tmp_path, body)) == 75
    thread.join()
    assert runs(tmp_path) == 1
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_run_that_was_done_all_the_same_is_done(tmp_path: Path) -> None:
    """SIGTERM came while it was committing its last file."""
    done = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
    body = f"{done}\nos.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(60)"
    assert keep(program(tmp_path, body)) == 0


def test_nodes_find_each_other_on_sagemaker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.nodes() == (0, 1, "localhost")
    for name, value in (("HOST_COUNT", "3"), ("CURRENT_HOST_RANK", "2"), ("MASTER_ADDR", "algo-1")):
        monkeypatch.setenv(f"SM_{name}", value)
    assert settings.nodes() == (2, 3, "algo-1")


def test_the_program_itself_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A spec that isn't there is a bad spec, which no other attempt makes better."""
    assert keeper.main([str(tmp_path / "nowhere.toml")]) == 2
    assert "nowhere.toml" in capfd.readouterr().err
