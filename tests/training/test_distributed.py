"""Two processes train what one does: replicated, sharded, interrupted. Real processes over gloo on this machine; and
one process that is terminated."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack.training.__main__ import main
from tests.training.conftest import digests, written_spec
from tests.training.forked import forked

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


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def assert_close(one: dict[str, Any], two: dict[str, Any]) -> None:
    import torch

    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=0, atol=2e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """What one process makes of SHORT."""
    folder = tmp_path_factory.mktemp("alone")
    assert main([str(written_spec(folder, tiny_model, "one", hyperparameters=SHORT, keep_epochs=2))]) == 0
    return folder / "one"


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft asks transformers by an old name
@pytest.mark.parametrize("shard", [False, True])
def test_two_processes_make_the_adapter_that_one_makes(
    make_spec: MakeSpec, tmp_path: Path, tiny_model: Path, alone: Path, shard: bool
) -> None:
    """With every shard in it: an adapter saved from a sharded model has been rank 0's part alone before."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    spec = make_spec("two", hyperparameters=SHORT, keep_epochs=2, shard=shard)
    assert forked(spec, tmp_path / "said", processes=2).ended()[0] == {0}
    runs = (alone, tmp_path / "two")
    for adapter in ("adapter", "kept/step-6"):
        assert_close(*(weights(run / adapter) for run in runs))
    ids = torch.tensor([[1, 5, 9, 40]])
    logits = []
    for run in runs:
        base: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
        with torch.no_grad():
            logits.append(PeftModel.from_pretrained(base, str(run / "adapter"))(ids).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-3)
    told = [json.loads((run / "manifest.json").read_bytes())["result"] for run in runs]
    assert told[0]["tokens"] == told[1]["tokens"]
    assert told[0]["steps"] == told[1]["steps"]


def stopped(spec: Path, folder: Path, metrics: Path, processes: int = 1) -> tuple[set[int], str, str]:
    """How a run ends that is terminated once it has trained."""
    run = forked(spec, folder, processes)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    run.stop()
    return run.ended()


def test_a_sharded_run_that_is_stopped_goes_on_to_the_model_that_one_process_makes(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """At a rate at which what is left to learn stays well above rounding: below, each sum's order decides."""
    whole = {"method": "full", "shard": True}
    long = {**SHORT, "epochs": 30, "learning_rate": 0.001, "checkpoint_every": 10}
    assert main([str(make_spec("straight", hyperparameters=long, **whole))]) == 0
    spec = make_spec("stopped", hyperparameters=long, **whole)
    assert stopped(spec, tmp_path / "first", tmp_path / "stopped/metrics.jsonl", processes=2)[0] == {75}
    assert not (tmp_path / "stopped" / "manifest.json").exists()
    assert forked(spec, tmp_path / "second", processes=2).ended()[0] == {0}
    events = (tmp_path / "stopped" / "events.jsonl").read_text()
    assert '"resumed"' in events
    assert_close(weights(tmp_path / "straight" / "model"), weights(tmp_path / "stopped" / "model"))


def test_a_terminated_run_exits_75_and_resumes_to_the_same_weights(make_spec: MakeSpec, tmp_path: Path) -> None:
    long = {"epochs": 30, "batch_size": 2, "max_length": 64, "learning_rate": 0.01, "lora_rank": 4}
    assert main([str(make_spec("straight", hyperparameters=long))]) == 0
    spec = make_spec("stopped", hyperparameters=long)
    codes, said, error = stopped(spec, tmp_path / "said", tmp_path / "stopped/metrics.jsonl")
    assert (codes, said) == ({75}, "")
    assert "resumes" in error
    assert not (tmp_path / "stopped" / "manifest.json").exists()
    assert list((tmp_path / "stopped" / "checkpoints").glob("step-*"))
    other = make_spec("stopped", hyperparameters={**long, "lora_rank": 8})
    assert main([str(other)]) == 2
    assert main([str(make_spec("stopped", hyperparameters=long))]) == 0
    stopped_run, straight = digests(tmp_path / "stopped"), digests(tmp_path / "straight")
    del stopped_run["adapter/README.md"], straight["adapter/README.md"]  # they say the run's name
    assert stopped_run == straight


def test_a_batch_that_does_not_divide_is_refused(make_spec: MakeSpec) -> None:
    spec = make_spec("odd", hyperparameters={**SHORT, "batch_size": 3})
    command = [sys.executable, "-m", "genai_stack.training.launch", str(spec), "--processes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "3 doesn't divide among 2 processes" in done.stderr
