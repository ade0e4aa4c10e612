"""The home directory: who may live in it, and what is left of one who was killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from genai_stack.errors import AlreadyRunning, GenAIStackError
from genai_stack.local.home import Home

OCCUPANT = """
import sys, time
from pathlib import Path
from genai_stack.local.home import Home
with Home(Path(sys.argv[1])).lock() as occupancy:
    occupancy.announce("http://127.0.0.1:4000/v1")
    print("up", flush=True)
    time.sleep(60)
"""
KEY = """
import sys
from pathlib import Path
from genai_stack.local.home import Home
print(Home(Path(sys.argv[1])).key())
"""


def test_everything_is_private(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    home.key()
    for path in (home.path, *home.path.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (home.path / "key").stat().st_mode & 0o777 == 0o600


def test_the_key_is_made_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", KEY, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    keys = {process.communicate()[0].strip() for process in processes}
    assert keys == {Home(tmp_path).key()}
    key = keys.pop()
    assert key.startswith("sk-gs-")
    assert len(key) == len("sk-gs-") + 43  # 256 bits in base64
    assert key != Home(tmp_path / "other").key()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_emptied_key_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    assert Home(tmp_path).key().startswith("sk-gs-")


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenAIStackError, match="--home"):
        Home(tmp_path / "file")
    with pytest.raises(GenAIStackError, match="--home"):
        Home(tmp_path / "file" / "below")


def test_one_stack_per_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.running() is None
    with home.lock() as occupancy:
        running = home.running()
        assert running is not None
        assert (running.pid, running.base_url) == (os.getpid(), None)
        occupancy.announce("http://127.0.0.1:4000/v1")
        with pytest.raises(AlreadyRunning) as caught, Home(tmp_path).lock():
            pass
        assert str(os.getpid()) in caught.value.message
        assert "http://127.0.0.1:4000/v1" in caught.value.message
        assert str(tmp_path) in caught.value.message
    assert home.running() is None
    with home.lock():
        pass


def test_a_killed_stack_leaves_no_lock(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OCCUPANT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    home = Home(tmp_path)
    running = home.running()
    assert running is not None
    assert (running.pid, running.base_url) == (process.pid, "http://127.0.0.1:4000/v1")
    with pytest.raises(AlreadyRunning, match=str(process.pid)), home.lock():
        pass
    process.kill()
    process.communicate()
    assert json.loads((home.run / "stack.json").read_text())["pid"] == process.pid
    assert home.running() is None
    with home.lock():
        running = home.running()
        assert running is not None
        assert running.base_url is None


def test_probing_never_keeps_a_stack_out(tmp_path: Path) -> None:
    home, stop = Home(tmp_path), threading.Event()

    def probe() -> None:
        while not stop.is_set():
            home.running()

    threads = [threading.Thread(target=probe) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            with home.lock():
                pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
