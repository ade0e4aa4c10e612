"""A tiny random chat model on the local engine, and batches of short requests for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.hosting.models import write_model
from tests.run_wide import compiled_models

CHAT = "/v1/chat/completions"


def chat_line(number: int, model: str = "tiny", **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Say {number}."}]
    body = {"model": model, "messages": messages, "max_tokens": 4, "temperature": 0, **body}
    return {"custom_id": f"r-{number}", "method": "POST", "url": CHAT, "body": body}


def write_batch(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bulk") / "tiny"
    write_model(directory)
    return directory


@pytest.fixture(autouse=True)
def compiled(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The engine's form of the tiny model is made once: every test's home shares it."""
    home.mkdir(exist_ok=True)
    (home / "engine").symlink_to(compiled_models(tmp_path_factory), target_is_directory=True)


@pytest.fixture
def batch_spec(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """Writes the spec of a batch on the tiny model; keywords replace its keys."""

    def make(lines: Iterable[dict[str, Any]] | Path, **changes: Any) -> Path:
        data = lines if isinstance(lines, Path) else write_batch(tmp_path / "in.jsonl", lines)
        spec: dict[str, Any] = {
            "model": {"name": "tiny", "source": str(tiny_model)},
            "input": str(data),
            "endpoint": CHAT,
            "output": str(tmp_path / "out"),
            "threads": 1,
        }
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({**spec, **changes}))
        return path

    return make


def start(module: str, spec: Path, home: Path, **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"genai_stack.bulk.{module}", str(spec)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GENAI_STACK_HOME": str(home), **extra},
    )


def run(module: str, spec: Path, home: Path, **extra: str) -> tuple[int, str]:
    """Exit code and stderr."""
    with start(module, spec, home, **extra) as process:
        try:
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    return process.returncode, said
