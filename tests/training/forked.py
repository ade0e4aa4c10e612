"""The training program in processes of its own, forked from one that has loaded torch and transformers: loading them
anew is most of what a short run costs. tests/e2e/test_training_on_s3.py starts it as a machine does, under torchrun."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from genai_stack.training.__main__ import main

FORKING = get_context("forkserver")
FORKING.set_forkserver_preload(
    [
        "genai_stack.training.loop",
        "genai_stack.training.results",
        "transformers.models.llama.modeling_llama",
        "peft",
    ]
)


@dataclass(frozen=True)
class Forked:
    """The ranks of one run; what they say goes to `folder`."""

    ranks: list[Any]
    folder: Path

    def stop(self) -> None:
        """SIGTERM to each of them, as torchrun does."""
        for rank in self.ranks:
            rank.terminate()

    def ended(self) -> tuple[set[int], str, str]:
        """Their exit codes, and what all of them wrote to stdout and to stderr."""
        for rank in self.ranks:
            rank.join(300)
        codes = {rank.exitcode for rank in self.ranks}
        out, err = (
            "".join(p.read_text() for p in sorted(self.folder.glob(f"*.{of}"))) for of in ("out", "err")
        )
        assert "Traceback" not in err or codes != {0}, err
        return codes, out, err


def forked(spec: Path, folder: Path, processes: int = 1) -> Forked:
    """Starts the run of `spec`. `folder` isn't there yet."""
    folder.mkdir()
    environment = dict(os.environ)
    if processes > 1:
        environment |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    ranks = [
        FORKING.Process(target=_train, args=(str(spec), rank, environment, str(folder)))
        for rank in range(processes)
    ]
    for rank in ranks:
        rank.start()
    return Forked(ranks, folder)


def _train(spec: str, rank: int, environment: Mapping[str, str], folder: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    if "WORLD_SIZE" in environment:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    for stream, of in ((sys.stdout, "out"), (sys.stderr, "err")):
        with open(f"{folder}/{rank}.{of}", "wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.exit(main([spec]))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port
