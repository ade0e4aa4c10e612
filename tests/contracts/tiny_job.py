"""A job program that does what its spec's `steps` say, one after the other. Runs as `python -m tiny_job spec.json`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SLEEPER = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    output = Path(spec["output"])
    for step in spec.get("steps", []):
        (verb, value), *_ = step.items()
        if verb == "print":
            print(value)
        elif verb == "stderr":
            print(value, file=sys.stderr)
        elif verb == "event":
            append(output / "events.jsonl", json.dumps(value) + "\n")
        elif verb == "metric":
            append(output / "metrics.jsonl", json.dumps(value) + "\n")
        elif verb == "torn":
            append(output / "events.jsonl", value)
        elif verb == "sleep":
            time.sleep(value)
        elif verb == "wait_for":
            while not Path(value).exists():
                time.sleep(0.01)
        elif verb == "stamp":
            append(Path(value), f"{time.time()} {os.getpid()}\n")
        elif verb == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif verb == "children":
            # One in our session, and one in a session of its own; neither heeds SIGTERM.
            children = [
                subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=own)
                for own in (False, True)
            ]
            append(Path(value), " ".join(str(child.pid) for child in children))
        elif verb == "once":
            # Exits so the first time this job runs, or by the signal of that number if negative.
            mark = output / "once"
            if not mark.exists():
                mark.touch()
                leave(value)
        elif verb == "result":
            (output / value).mkdir(exist_ok=True)
            (output / value / "config.json").write_text("{}")
        elif verb == "exit":
            leave(value)
    partial = output / "manifest.partial"
    partial.write_text("{}")
    partial.rename(output / "manifest.json")
    for step in spec.get("afterwards", []):
        time.sleep(step)


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def leave(code: int) -> None:
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


main()
