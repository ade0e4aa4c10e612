"""A real `genai-stack up` in a process of its own, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "genai_stack"]


@dataclass(frozen=True)
class Live:
    """`base_url` ends in `/v1`."""

    base_url: str
    key: str
    home: Path
    process: subprocess.Popen[str]
    started_in: float
    """Seconds from starting the process to the stack being announced."""

    def openai(self, **options: Any) -> Any:
        from openai import OpenAI

        return OpenAI(base_url=self.base_url, api_key=self.key, max_retries=0, **options)


def environment(home: Path, **extra: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_STACK_")}
    return {**clean, "GENAI_STACK_HOME": str(home), "HF_HUB_OFFLINE": "1", **extra}


def start(home: Path, *options: str, key: str | None = None, wait: float = 240) -> Live:
    """Starts `up` on a free port and waits until it is announced in run/stack.json."""
    extra = {"GENAI_STACK_API_KEY": key} if key else {}
    began = time.monotonic()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.out").open("a") as out:
        process = subprocess.Popen(
            [*COMMAND, "up", "--port", "0", *options],
            env=environment(home, **extra),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=home.parent,
            start_new_session=True,
        )
    card = home / "run" / "stack.json"
    while True:
        try:
            told = json.loads(card.read_text())
        except (OSError, ValueError):
            told = {}
        if told.get("pid") == process.pid and told.get("base_url"):
            secret = key or (home / "key").read_text().strip()
            return Live(told["base_url"], secret, home, process, time.monotonic() - began)
        if process.poll() is not None or time.monotonic() - began > wait:
            process.kill()
            process.wait()
            raise AssertionError(f"`up` did not come up:\n{(home.parent / f'{home.name}.out').read_text()}")
        time.sleep(0.02)


def stop(stack: Live, wait: float = 120) -> int:
    """Ends it as Ctrl-C would, and says with which exit code it went."""
    if stack.process.poll() is None:
        stack.process.send_signal(signal.SIGINT)
    return stack.process.wait(wait)


def processes_of(home: Path) -> list[str]:
    """Command lines of live processes that mention `home` or were started with it (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environ = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"GENAI_STACK_HOME={home}".encode() in environ and int(entry.name) != os.getpid() and command:
            found.append(f"{entry.name} {command}")
    return found


@contextmanager
def live_stack(home: Path, *options: str, key: str | None = None) -> Iterator[Live]:
    stack = start(home, *options, key=key)
    try:
        yield stack
    finally:
        code = stop(stack)
        out = (home.parent / f"{home.name}.out").read_text()
        assert code == 0, f"`up` went with {code}:\n{out}"
        assert "Traceback" not in out, out
        time.sleep(0.2)
        assert not processes_of(home), "left behind by `up`"
