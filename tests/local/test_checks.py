"""`genai-stack doctor` on this machine."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from genai_stack.cli.root import root
from genai_stack.config import StackConfig, parse_config
from genai_stack.findings import Finding
from genai_stack.local import checks
from genai_stack.local.home import Home


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that load at once; what is printed is theirs."""
    monkeypatch.setattr(checks, "ENGINE", "print('2026.4')")
    monkeypatch.setattr(checks, "TORCH", "print('2.13', 2, 'no GPU', sep='|')")


def look(home: Path, config: StackConfig | None = None, port: int = 0) -> dict[str, Finding]:
    return {one.topic: one for one in checks.examine(home, config or StackConfig(), port)}


def test_this_machine_is_well(home: Path) -> None:
    """The engine and torch are the ones the tests run with."""
    told = CliRunner().invoke(root, ["doctor", "--port", str(_free()), "--json"], catch_exceptions=False)
    found = msgspec.json.decode(told.stdout, type=list[Finding])
    assert told.exit_code == 0
    assert {one.topic for one in found} == {
        *("python", "home", "disk", "port", "threads", "model", "engine", "torch"),
    }
    assert all(one.state == "ok" for one in found if one.topic != "disk"), found
    assert sum(one.topic == "model" for one in found) == 2
    assert not home.exists(), "looking makes nothing"


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_libraries_that_dont_load_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ENGINE", "import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(checks, "TORCH", "import a_module_that_nobody_has")
    found = look(home)
    assert (found["engine"].state, found["torch"].state) == ("fail", "warn")
    assert "-11" in found["engine"].found
    assert "a_module_that_nobody_has" in found["torch"].found
    assert "genai-stack[train]" in found["torch"].next


def test_one_that_never_loads_is_given_up(home: Path, loaded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ENGINE", "import time; time.sleep(600)")
    monkeypatch.setattr(checks, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(checks, "TORCH", "print('1|2|3')")
    assert "still loading" in look(home)["engine"].found


def test_a_taken_port_is_told_unless_the_stack_has_it(home: Path, loaded: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert look(home, port=port)["port"].state == "warn"
        with Home(home).lock() as occupancy:
            assert look(home, port=port)["port"].state == "warn"
            occupancy.announce(f"http://127.0.0.1:{port}/v1")
            assert look(home, port=port)["port"].state == "ok"


def test_homes(home: Path, loaded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(mode=0o700)
    assert look(home)["home"].state == "ok"
    home.chmod(0o755)
    assert look(home)["home"].next == f"chmod 700 {home}"
    file = tmp_path / "file"
    file.write_text("")
    assert look(file / "home")["home"].state == "fail"
    monkeypatch.setattr(checks, "LEAST_GB", 10**9)
    assert look(home)["disk"].state == "fail"
    monkeypatch.setattr(checks, "LEAST_GB", 0)
    monkeypatch.setattr(checks, "ENOUGH_GB", 10**9)
    assert look(home)["disk"].state == "warn"


def test_a_home_that_nobody_may_look_at_is_told(
    home: Path, loaded: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, stat = tmp_path / "closed", os.stat
    closed.mkdir()

    def look_at(path: Any, *more: Any, **named: Any) -> os.stat_result:
        if str(path).startswith(f"{closed}/"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *more, **named)

    access = os.access
    monkeypatch.setattr(os, "stat", look_at)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(closed) and access(path, mode))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = look(closed / "home", port=taken.getsockname()[1])
    assert (found["home"].state, found["home"].found) == ("fail", f"{closed} can't be written to")


def test_models_and_threads_of_the_configuration(home: Path, loaded: None, tmp_path: Path) -> None:
    config = parse_config(
        f"[local]\nthreads = {(os.cpu_count() or 1) + 1}\n"
        '[[model]]\nname = "here"\nsource = "nowhere"\n[[model]]\nname = "hub"\nsource = "hf://org/name"\n',
        base=tmp_path,
    )
    found = [one for one in checks.examine(home, config, 0) if one.topic in ("model", "threads")]
    assert [one.state for one in found] == ["warn", "fail", "ok"]
    assert "nowhere" in found[1].found


def test_a_stack_toml_that_cant_be_read_fails(home: Path, loaded: None, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("nam = 1")
    told = CliRunner().invoke(root, ["doctor", "--config", str(wrong), "--port", str(_free())])
    assert told.exit_code == 1
    assert f"{wrong}:1" in told.output
    assert "-> mend that line" in told.output
    told = CliRunner().invoke(root, ["doctor", "--config", str(wrong), "--json"])
    assert json.loads(told.stdout)[0]["topic"] == "stack.toml"
