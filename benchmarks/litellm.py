"""The API beside the LiteLLM proxy: requests and streamed chunks a second, and the CPU of each, over one stub upstream.

    python -m benchmarks.litellm PYTHON

PYTHON is the interpreter of an environment of its own that has `litellm[proxy]` (`make .venv-litellm/.ready`). Ours
checks a key with every limit and keeps a ledger; LiteLLM has its master key and no database. One worker each, in turns,
eight connections, in the same rounds. Where the machine does something else as well, CPU tells more than the clock:
what one core could do is a second over it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks import load
from benchmarks.overhead import CHUNKS, KEY, MESSAGES, free_port, limited_key, reachable, running

REQUESTS = {"ours": (1500, 40), "litellm": (150, 4)}
"""Whole answers, and streams, of a round."""
ROUNDS = 2
MEANT = (20, 50)
"""Times as many requests, and chunks, a second."""


@contextlib.contextmanager
def litellm(python: str, home: Path, port: int, upstream: str) -> Iterator[subprocess.Popen[bytes]]:
    config = home / "litellm.yaml"
    model = {"model": "openai/builtin", "api_base": f"{upstream}/v1", "api_key": "none"}
    told = {
        "model_list": [{"model_name": "builtin", "litellm_params": model}],
        "general_settings": {"master_key": KEY},
    }
    config.write_text(json.dumps(told))  # which is YAML, too
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    command = [
        str(Path(python).parent / "litellm"),
        "--config",
        str(config),
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    with (home / "litellm.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 180
            while True:
                with contextlib.suppress(SystemExit):
                    reachable(port)
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit((home / "litellm.log").read_text()[-2000:])
            yield process
        finally:
            process.terminate()
            process.wait(20)


def measured(pid: int, port: int, key: str, *, stream: bool, requests: int) -> tuple[float, float]:
    """Answers or chunks a second of the clock, and a second of the process's CPU."""
    body: dict[str, object] = {"model": "builtin", "messages": MESSAGES, "stream": stream}
    message = load.request("127.0.0.1", "/v1/chat/completions", key, body)
    process = psutil.Process(pid)
    before = process.cpu_times()
    tally = asyncio.run(load.run(port, message, connections=8, requests=requests))
    after = process.cpu_times()
    if tally.lost or tally.answers != requests:
        raise SystemExit(f"{tally.lost} answers lost, {tally.answers} of {requests} came: {tally.tails[-1:]}")
    count = tally.events if stream else requests
    return count / tally.seconds, count / (after.user + after.system - before.user - before.system)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ports = {name: free_port() for name in REQUESTS}
        stub = stack.enter_context(
            running("-m", "benchmarks.stub_hosting", str(CHUNKS), "--port", "0", "--announce")
        )
        assert stub.stdout is not None
        upstream = f"http://127.0.0.1:{json.loads(stub.stdout.readline())['port']}"
        processes = {
            "ours": stack.enter_context(
                running("-m", "benchmarks.subject", str(home), str(ports["ours"]), KEY, str(CHUNKS))
            ),
            "litellm": stack.enter_context(litellm(sys.argv[1], home, ports["litellm"], upstream)),
        }
        keys = {"ours": limited_key(home), "litellm": KEY}
        reachable(ports["ours"])
        found: dict[tuple[str, bool], list[tuple[float, float]]] = {}
        for _ in range(ROUNDS + 1):
            for name, process in processes.items():
                for stream in (False, True):
                    found.setdefault((name, stream), []).append(
                        measured(
                            process.pid, ports[name], keys[name], stream=stream, requests=REQUESTS[name][stream]
                        )
                    )
    medians = {
        key: [statistics.median(values) for values in zip(*rounds[1:], strict=True)]
        for key, rounds in found.items()
    }
    print(f"median of {ROUNDS} rounds after one to warm up")
    print(f"{'':12}{'requests/s':>14}{'of CPU':>12}{'chunks/s':>14}{'of CPU':>12}")
    for name in REQUESTS:
        row = [*medians[name, False], *medians[name, True]]
        print(f"{name:12}{row[0]:14.0f}{row[1]:12.0f}{row[2]:14.0f}{row[3]:12.0f}")
    for stream, what in enumerate(("requests", "chunks")):
        clock, cpu = (
            a / b for a, b in zip(medians["ours", bool(stream)], medians["litellm", bool(stream)], strict=True)
        )
        print(f"{what}: {clock:.1f} times by the clock, {cpu:.1f} by CPU; {MEANT[stream]} are meant")


if __name__ == "__main__":
    main()
