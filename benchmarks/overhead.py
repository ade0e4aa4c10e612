"""CPU that the API itself costs, per request and per streamed chunk, beside a bare forwarder in the same run.

    python -m benchmarks.overhead

Upstream is a stub that answers at once, in a process of its own; counted is the API process's user and system time.
The key has every limit, the model has a price, and the ledger is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks import load
from genai_stack.service.keys import ApiKeys
from genai_stack.service.principal import Limits
from genai_stack.wiring import local_services

KEY = "sk-gs-benchmark"
LIMITS = Limits(10**8, 10**12, 1000, 10**6)
CHUNKS, REQUESTS, STREAMS, ROUNDS = 400, 1500, 40, 5
MESSAGES = [{"role": "user", "content": "What is a token? " * 20}]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "src")))}
    process = subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def reachable(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing came up on port {port}")


def limited_key(home: Path) -> str:
    """One with every limit there is, each far away."""
    return ApiKeys(local_services(home).records).create("benchmark", limits=LIMITS)[1]


def microseconds(pid: int, port: int, key: str, *, stream: bool) -> float:
    """CPU per request, or per chunk of a stream, of process `pid`."""
    body: dict[str, object] = {"model": "builtin", "messages": MESSAGES, "stream": stream}
    message = load.request("127.0.0.1", "/v1/chat/completions", key, body)
    process = psutil.Process(pid)
    before = process.cpu_times()
    requests = STREAMS if stream else REQUESTS
    tally = asyncio.run(load.run(port, message, connections=8, requests=requests))
    after = process.cpu_times()
    if tally.lost or tally.answers != requests:
        raise SystemExit(f"{tally.lost} answers lost, {tally.answers} of {requests} came")
    cpu = after.user + after.system - before.user - before.system
    return 1e6 * cpu / (tally.events if stream else requests)


def main() -> None:
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        ports = {"floor": free_port(), "api": free_port()}
        stub = stack.enter_context(
            running("-m", "benchmarks.stub_hosting", str(CHUNKS), "--port", "0", "--announce")
        )
        assert stub.stdout is not None
        upstream = f"http://127.0.0.1:{json.loads(stub.stdout.readline())['port']}"
        subjects = {
            "floor": stack.enter_context(running("-m", "benchmarks.floor", upstream, str(ports["floor"]))),
            "api": stack.enter_context(
                running("-m", "benchmarks.subject", home, str(ports["api"]), KEY, str(CHUNKS))
            ),
        }
        key = limited_key(Path(home))
        for port in ports.values():
            reachable(port)
        found: dict[tuple[str, bool], list[float]] = {}
        for _ in range(ROUNDS + 1):
            for name, process in subjects.items():
                for stream in (False, True):
                    found.setdefault((name, stream), []).append(
                        microseconds(process.pid, ports[name], key, stream=stream)
                    )
    print(f"CPU of the API process, median of {ROUNDS} rounds after one to warm up")
    print(f"{'':28}{'µs/request':>12}{'µs/chunk':>12}")
    medians = {key: statistics.median(values[1:]) for key, values in found.items()}
    for name, label in (("floor", "bare forwarder"), ("api", "genai-stack")):
        print(f"{label:28}{medians[name, False]:12.0f}{medians[name, True]:12.1f}")
    ratios = [medians["api", stream] / medians["floor", stream] for stream in (False, True)]
    print(f"{'ratio':28}{ratios[0]:12.2f}{ratios[1]:12.2f}")


if __name__ == "__main__":
    main()
