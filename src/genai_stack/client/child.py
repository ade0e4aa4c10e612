"""A stack of this program's own: `genai-stack up` as a child process that ends when we do."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .. import settings
from ..errors import StackNotReady
from .endpoint import Endpoint, announced, running

READY_SECONDS = 120.0
"""A model converted for the first time takes its time; the built-in one is there in three."""
STOP_SECONDS = 20.0


class ChildStack:
    """Its standard input is a pipe from us: when that closes, whatever ended us, it stops."""

    def __init__(self, process: subprocess.Popen[bytes], endpoint: Endpoint) -> None:
        self._process = process
        self.endpoint = endpoint

    def stop(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start(home: Path, config: Path | None = None) -> ChildStack | Endpoint:
    """Starts `up` on a free port and waits until it is ready. When another process gets there first, that one's
    endpoint. Raises StackNotReady with the child's own words."""
    command = [
        sys.executable,
        "-m",
        "genai_stack",
        "up",
        "--stop-with-parent",
        "--port",
        "0",
        "--home",
        str(home),
    ]
    command += ["--config", str(config)] if config else []
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=words,
            start_new_session=True,
            env=settings.child_environment(),
        )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if announced(home, process.pid) and (endpoint := running(home)):
                return ChildStack(process, endpoint)
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()
        if endpoint := running(home):
            return endpoint
        words.seek(0)
        said = words.read().decode(errors="replace").strip().removeprefix("genai-stack: ")
    raise StackNotReady(f"the stack in {home} did not come up: {said or 'it said nothing'}")
