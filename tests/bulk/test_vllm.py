"""The vLLM engine against a stand-in of the same command line: its answers re-labelled, its failures told."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from genai_stack.bulk.specs import BatchSpec, ModelSpec
from genai_stack.bulk.vllm import command
from genai_stack.errors import InvalidModel
from tests.bulk.conftest import CHAT, chat_line, lines_of, run, start

Spec = Callable[..., Path]
pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH that has our vllm."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).parent / "fake_vllm.py"} "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def test_answers_are_relabelled(batch_spec: Spec, tmp_path: Path, home: Path, path: str) -> None:
    lines = [chat_line(0), chat_line(1, **said("refuse me")), chat_line(2, **said("break me")), chat_line(3)]
    code, words = run("batch", batch_spec(lines, engine="auto"), home, PATH=path)
    assert (code, words) == (0, "")
    good, bad = lines_of(tmp_path / "out" / "output.jsonl"), lines_of(tmp_path / "out" / "errors.jsonl")
    assert [entry["custom_id"] for entry in good] == ["r-0", "r-3"]
    assert all(entry["id"].startswith("batch_req_") for entry in good + bad)
    assert good[0]["response"]["body"]["choices"][0]["message"]["content"] == "Say 0."
    for entry, message in zip(bad, ("too long", "it raised"), strict=True):
        assert entry["error"] is None
        problem = entry["response"]["body"]["error"]
        assert problem == {
            "message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request",
        }  # fmt: skip
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["result"] == {
        "total": 4, "completed": 2, "failed": 2, "prompt_tokens": 4, "completion_tokens": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("crash:3", "exit code 1 and 3 lines left: RuntimeError: Engine core died"),
        ("killed:3", "vllm was killed, perhaps for want of memory, with 3 lines left"),
        ("torn:3", "vllm was killed, perhaps for want of memory, with 3 lines left"),
        ("short:3", "ended well and left 3 lines unanswered"),
        ("foreign:3", "what nobody asked"),
        ("usage", "doesn't take the command line it was given: vllm: error: unrecognized arguments"),
        ("memory", "exit code 1 and 6 lines left: torch.OutOfMemoryError: CUDA out of memory."),
    ],
)
def test_a_failure_is_told_and_what_was_answered_is_kept(
    batch_spec: Spec, tmp_path: Path, home: Path, path: str, wrong: str, says: str
) -> None:
    spec = batch_spec([chat_line(n) for n in range(6)], engine="vllm")
    code, words = run("batch", spec, home, PATH=path, FAKE_VLLM=wrong)
    assert (code, says in words) == (1, True), words
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert run("batch", spec, home, PATH=path)[0] == 0
    events = lines_of(tmp_path / "out" / "events.jsonl")
    assert [e["finished"] for e in events if e["type"] == "started"] == [0, 3 if ":3" in wrong else 0]
    assert [e["custom_id"] for e in lines_of(tmp_path / "out" / "output.jsonl")] == [f"r-{n}" for n in range(6)]


def test_a_signal_ends_it_and_it_goes_on(batch_spec: Spec, tmp_path: Path, home: Path, path: str) -> None:
    spec = batch_spec([chat_line(n) for n in range(6)], engine="vllm")
    process = start("batch", spec, home, PATH=path, FAKE_VLLM="hang:4")
    deadline = time.monotonic() + 60
    while '"completed": 4' not in _text(tmp_path / "out" / "metrics.jsonl"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=60)
    assert (process.returncode, words) == (75, "interrupted, 2 of 6 lines left; the same command goes on\n")
    assert run("batch", spec, home, PATH=path) == (0, "")
    assert len(lines_of(tmp_path / "out" / "output.jsonl")) == 6


def test_what_it_can_t_do_is_refused(batch_spec: Spec, home: Path, path: str, tmp_path: Path) -> None:
    code, words = run("batch", batch_spec([chat_line(0)], engine="vllm"), home, PATH=str(tmp_path))
    assert (code, "no vllm on PATH" in words) == (2, True)
    completion = {"custom_id": "c", "method": "POST", "url": "/v1/completions"}
    completion["body"] = {"model": "tiny", "prompt": "x"}
    spec = batch_spec([completion], engine="vllm", endpoint="/v1/completions", output=str(tmp_path / "c"))
    code, words = run("batch", spec, home, PATH=path)
    assert (code, "vllm run-batch doesn't know /v1/completions" in words) == (2, True)


def test_the_command_line(tmp_path: Path) -> None:
    asked, answers = tmp_path / "in", tmp_path / "out"
    model = ModelSpec("qwen", "hf://Qwen/Qwen3-4B@main")
    plain = command(BatchSpec(model, "in", CHAT, "out", "vllm"), "vllm", asked, answers)  # type: ignore[arg-type]
    assert plain == [
        "vllm", "run-batch", "-i", str(asked), "-o", str(answers), "--model", "Qwen/Qwen3-4B", "--max-num-seqs", "64",
        "--revision", "main", "--served-model-name", "qwen",
    ]  # fmt: skip
    adapter = tmp_path / "adapter"
    tuned = BatchSpec(ModelSpec("ft:q:x:1", "hf://Qwen/Qwen3-4B", str(adapter)), "in", CHAT, "out", "vllm")  # type: ignore[arg-type]
    adapter.mkdir()
    save_file({"a": np.zeros(1)}, adapter / "adapter_model.safetensors")
    with pytest.raises(InvalidModel, match="no LoRA rank"):
        command(tuned, "vllm", asked, answers)
    (adapter / "adapter_config.json").write_text('{"r": 24}')
    line = command(tuned, "vllm", asked, answers)
    assert line[line.index("--max-lora-rank") + 1] == "32"
    assert line[line.index("--lora-modules") + 1] == f"ft:q:x:1={adapter}"
    assert line[line.index("--served-model-name") + 1] == "base"


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
