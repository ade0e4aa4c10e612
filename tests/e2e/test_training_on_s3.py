"""A run that lives under a prefix: its spec and data come from S3, two processes train, one machine goes away, another
one goes on. The account is moto's, on this machine (tests/aws/account.py); the processes are real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from genai_stack.aws.objects import S3Objects
from genai_stack.training.__main__ import main
from tests.aws.account import Account, account
from tests.contracts.adapters import made_bucket
from tests.training.conftest import CHATS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ARCHITECTURE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "layers": 1,
    "heads": 2,
    "kv_heads": 1,
    "context": 128,
}


@pytest.fixture
def aws() -> Account:
    return account()


def launch(aws: Account, uri: str, home: Path) -> subprocess.Popen[str]:
    """What a job definition's command runs, on a machine of its own."""
    command = [sys.executable, "-m", "genai_stack.training.launch", uri, "--processes", "2"]
    environment = {**os.environ, **aws.environment, "GENAI_STACK_HOME": str(home)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def told(objects: S3Objects, name: str) -> list[dict[str, Any]]:
    keys = {info.key for info in objects.list("jobs/ftjob-1/output/")}
    key = f"jobs/ftjob-1/output/{name}"
    return [json.loads(line) for line in objects.get(key).splitlines()] if key in keys else []


def test_a_run_goes_on_where_another_machine_left_it(
    aws: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    bucket = made_bucket(tmp_path)
    objects = S3Objects(bucket)
    objects.put("data/chats.jsonl", "".join(json.dumps(chat) + "\n" for chat in CHATS).encode())
    spec = {
        "name": "far", "method": "full", "base": "scratch", "shard": True, "threads": 1, "architecture": ARCHITECTURE,
        "data": {"train": f"s3://{bucket}/data/chats.jsonl"}, "output": f"s3://{bucket}/jobs/ftjob-1/output",
        "hyperparameters": {"epochs": 40, "batch_size": 4, "max_length": 64, "checkpoint_every": 20},
    }  # fmt: skip
    objects.put("jobs/ftjob-1/spec.json", json.dumps(spec).encode())
    uri = f"s3://{bucket}/jobs/ftjob-1/spec.json"

    first = launch(aws, uri, tmp_path / "one")
    deadline = time.monotonic() + 240
    committed = "jobs/ftjob-1/output/checkpoints/"
    while time.monotonic() < deadline and first.poll() is None:
        if any(info.key.endswith("/manifest.json") for info in objects.list(committed)):
            break
        time.sleep(0.2)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=240)
    assert first.returncode == 75, said

    second = launch(aws, uri, tmp_path / "two")
    _, said = second.communicate(timeout=300)
    assert second.returncode == 0, said
    events = told(objects, "events.jsonl")
    assert [event["type"] for event in events if event["type"] in ("interrupted", "resumed", "succeeded")] == [
        "interrupted", "resumed", "succeeded",
    ]  # fmt: skip
    steps = [line["step"] for line in told(objects, "metrics.jsonl")]
    assert sorted(set(steps)) == list(range(1, 81))
    manifest = json.loads(objects.get("jobs/ftjob-1/output/manifest.json"))
    for entry in manifest["files"]:
        assert objects.head(f"jobs/ftjob-1/output/{entry['path']}").sha256 == entry["sha256"]
    assert {entry["path"] for entry in manifest["files"]} >= {
        "model/model.safetensors",
        "model/README.md",
        "loss.png",
    }

    assert main([uri]) == 0
    assert told(objects, "events.jsonl")[-1]["type"] == "complete"
