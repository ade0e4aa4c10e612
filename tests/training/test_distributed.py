"""Two processes train what one does: replicated, sharded, interrupted. Real processes over gloo on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack.training.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
MakeSpec = Callable[..., Path]
SHORT = {
    "epochs": 4,
    "batch_size": 4,
    "max_length": 64,
    "learning_rate": 0.01,
    "lora_rank": 4,
    "save_precision": "f32",
}


def launch(spec: Path, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "genai_stack.training.launch", str(spec), "--processes", "2"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def finished(child: subprocess.Popen[str]) -> int:
    _, said = child.communicate(timeout=300)
    assert "Traceback" not in said or child.returncode, said
    return child.returncode


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def assert_close(one: dict[str, Any], two: dict[str, Any]) -> None:
    import torch

    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=2e-4)


@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_make_the_adapter_that_one_makes(
    make_spec: MakeSpec, tmp_path: Path, tiny_model: Path, shard: bool
) -> None:
    """With every shard in it: an adapter saved from a sharded model has been rank 0's part alone before."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert main([str(make_spec("one", hyperparameters=SHORT, keep_epochs=2))]) == 0
    assert finished(launch(make_spec("two", hyperparameters=SHORT, keep_epochs=2, shard=shard))) == 0
    for adapter in ("adapter", "kept/step-6"):
        assert_close(weights(tmp_path / "one" / adapter), weights(tmp_path / "two" / adapter))
    ids = torch.tensor([[1, 5, 9, 40]])
    logits = []
    for name in ("one", "two"):
        base: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        with torch.no_grad():
            logits.append(PeftModel.from_pretrained(base, str(tmp_path / name / "adapter"))(ids).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-3)
    told = [json.loads((tmp_path / name / "manifest.json").read_bytes())["result"] for name in ("one", "two")]
    assert told[0]["tokens"] == told[1]["tokens"]
    assert told[0]["steps"] == told[1]["steps"]


def test_a_sharded_run_that_is_stopped_goes_on_to_the_model_that_one_process_makes(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """At a rate at which what is left to learn stays well above rounding: below, each sum's order decides."""
    whole = {"method": "full", "shard": True}
    long = {**SHORT, "epochs": 60, "learning_rate": 0.001, "checkpoint_every": 20}
    assert main([str(make_spec("straight", hyperparameters=long, **whole))]) == 0
    child = launch(make_spec("stopped", hyperparameters=long, **whole))
    metrics = tmp_path / "stopped" / "metrics.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGTERM)
    assert finished(child) == 75
    assert not (tmp_path / "stopped" / "manifest.json").exists()
    assert finished(launch(make_spec("stopped", hyperparameters=long, **whole))) == 0
    events = (tmp_path / "stopped" / "events.jsonl").read_text()
    assert '"resumed"' in events
    assert_close(weights(tmp_path / "straight" / "model"), weights(tmp_path / "stopped" / "model"))


def test_a_batch_that_does_not_divide_is_refused(make_spec: MakeSpec) -> None:
    child = launch(make_spec("odd", hyperparameters={**SHORT, "batch_size": 3}))
    _, said = child.communicate(timeout=300)
    assert child.returncode == 2
    assert "3 doesn't divide among 2 processes" in said
