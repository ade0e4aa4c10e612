"""The API's bundle as Lambda unpacks it, started by its own run.sh. Lambda Web Adapter forwards plain HTTP to it, which
is what tests send."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120.0


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def started(bundle: Path, bin: Path, environment: dict[str, str]) -> Iterator[tuple[int, float]]:
    """The port it answers on, and the seconds until it first did. `bin` is where its only `python3` is put: nothing of
    this environment's packages is on its path."""
    bin.mkdir(parents=True)
    (bin / "python3").write_text(
        f'#!/bin/sh\nexec {sys.base_prefix}/bin/python3.{sys.version_info.minor} -S "$@"\n'
    )
    (bin / "python3").chmod(0o755)
    port = free_port()
    told = {"PATH": f"{bin}:/usr/bin:/bin", "AWS_LWA_PORT": str(port), **environment}
    with (bin / "log").open("wb") as log:
        began = time.perf_counter()
        server = subprocess.Popen([bundle / "run.sh"], env=told, cwd=bin, stdout=log, stderr=log)
        try:
            while not answers(port):
                assert server.poll() is None, (bin / "log").read_text()
                assert time.perf_counter() - began < PATIENCE, "it doesn't answer"
                time.sleep(0.005)
            yield port, time.perf_counter() - began
        finally:
            server.terminate()
            server.wait(60)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def environment_of(account: dict[str, str], stage: str, runtime: str) -> dict[str, str]:
    return {
        **account,
        "GENAI_STACK_STAGE": stage,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": runtime,
        "HOME": os.devnull,
    }
