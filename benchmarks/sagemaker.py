"""CPU per request and per streamed chunk of what asks a SageMaker endpoint: ours, boto3 and aiobotocore, in one run.

    python -m benchmarks.sagemaker [PYTHON]

A stub answers at once, in a process of its own; each way has a process, and its CPU is counted, threads included.
PYTHON is an interpreter that has aiobotocore (and uvloop), which wants an older botocore than boto3 here does; without
it that line is left out, and said to be.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHUNKS, ROUNDS = 400, 5
LIMITS = {"request": 350.0, "chunk": 12.0}
"""Microseconds that ours may add."""
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDBENCH",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "session" * 40,
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextlib.contextmanager
def running(python: str, *command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Both pipes are lines; it ends with its stdin."""
    child = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
        **environment,
    }
    if python != sys.executable:
        child["PYTHONPATH"] = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        [python, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=child
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(20)


def answered(process: subprocess.Popen[str], line: str) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def ways() -> dict[str, str]:
    """The interpreter for each way there is here."""
    found = dict.fromkeys(("bare", "genai-stack", "boto3"), sys.executable)
    if len(sys.argv) > 1:
        found["aiobotocore"] = sys.argv[1]
    elif importlib.util.find_spec("aiobotocore"):
        found["aiobotocore"] = sys.executable
    else:
        print("aiobotocore isn't installed here, and is left out; give an interpreter that has it")
    return found


def main() -> None:
    with contextlib.ExitStack() as stack:
        stub = stack.enter_context(running(sys.executable, "benchmarks.stub_runtime", str(CHUNKS)))
        assert stub.stdout is not None
        url = f"http://127.0.0.1:{json.loads(stub.stdout.readline())['port']}"
        there = {**CREDENTIALS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}
        subjects = {
            name: stack.enter_context(
                running(python, "benchmarks.sagemaker_subject", name, url, str(CHUNKS), **there)
            )
            for name, python in ways().items()
        }
        found: dict[tuple[str, str], list[float]] = {}
        for _ in range(ROUNDS + 1):
            for name, process in subjects.items():
                for kind in LIMITS:
                    found.setdefault((name, kind), []).append(answered(process, kind))
    medians = {key: statistics.median(values[1:]) for key, values in found.items()}
    print(f"CPU of the asking process, median of {ROUNDS} rounds after one to warm up")
    print(f"{'':28}{'µs/request':>12}{'µs/chunk':>12}")
    for name in subjects:
        print(f"{name:28}{medians[name, 'request']:12.0f}{medians[name, 'chunk']:12.1f}")
    for kind, limit in LIMITS.items():
        total, added = medians["genai-stack", kind], medians["genai-stack", kind] - medians["bare", kind]
        print(
            f"genai-stack per {kind}: {total:.1f} µs, {added:.1f} over aiohttp alone; at most {limit:.0f} are meant"
        )


if __name__ == "__main__":
    main()
