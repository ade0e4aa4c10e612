"""`genai-stack chat` at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from typing import Any

from tests.live import COMMAND, Live, environment


def read_until(terminal: int, mark: bytes, seconds: float = 60) -> bytes:
    """What the terminal shows up to `mark`."""
    shown, deadline = b"", time.monotonic() + seconds
    while mark not in shown:
        ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"no {mark!r} in {shown!r}"
        shown += os.read(terminal, 4096)
    return shown


def test_a_conversation_goes_on_until_ctrl_d(live: Live) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "chat", "--max-tokens", "12"],
        env=environment(live.home, TERM="dumb"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=live.home.parent,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        assert b"builtin: Ctrl-D ends" in read_until(ours, b"> ")
        with live.openai() as client:
            said: Any = [{"role": "user", "content": "Say hello."}]
            whole = client.chat.completions.create(model="builtin", messages=said, temperature=0, max_tokens=12)
        os.write(ours, b"Say hello.\n")
        shown = read_until(ours, b"\r\n> ").decode().replace("\r\n", "\n")
        assert whole.choices[0].message.content.strip() in shown
        os.write(ours, b"\x04")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
