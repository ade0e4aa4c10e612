from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack.training.__main__ import main
from tests.training.conftest import CHATS, digests, manifest, write_lines

MakeSpec = Callable[..., Path]
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "layers": 1, "heads": 2, "kv_heads": 1, "context": 128}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_lora_run_leaves_an_adapter_its_story_and_the_manifest_last(
    make_spec: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    validation = write_lines(tmp_path / "validation.jsonl", CHATS[:2])
    train = write_lines(tmp_path / "train.jsonl", CHATS)
    assert main([str(make_spec(data={"train": str(train), "validation": str(validation)}))]) == 0
    output = tmp_path / "run"
    told = manifest(output)
    assert (told["format"], told["name"], told["method"], told["kind"]) == (1, "run", "lora", "adapter")
    assert {entry["path"] for entry in told["files"]} == {
        "adapter/README.md",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "loss.png",
    }
    card = (output / "adapter/README.md").read_text()
    assert 'base_model: "tiny-base"' in card
    assert "| steps | 2 |" in card
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG")
    for entry in told["files"]:
        content = (output / entry["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert told["result"]["steps"] == 2
    assert set(told["result"]) == {"steps", "loss", "tokens", "seconds"}
    newest = max(output.rglob("adapter*"), key=lambda path: path.stat().st_mtime_ns)
    assert (output / "manifest.json").stat().st_mtime_ns >= newest.stat().st_mtime_ns
    assert (
        json.loads((output / "adapter/adapter_config.json").read_bytes())["base_model_name_or_path"]
        == "tiny-base"
    )
    steps = [line for line in lines(output / "metrics.jsonl") if "loss" in line]
    assert [line["step"] for line in steps] == [1, 2]
    assert {"time", "step", "total_steps", "epoch", "loss", "learning_rate", "tokens_per_second"} <= set(
        steps[0]
    )
    assert any("validation_loss" in line for line in lines(output / "metrics.jsonl"))
    events = lines(output / "events.jsonl")
    assert events[-1]["type"] == "succeeded"
    assert all({"time", "level", "type", "message"} <= set(event) for event in events)
    assert capfd.readouterr() == ("", "")
    assert main([str(make_spec())]) == 2
    assert "holds another run, complete" in capfd.readouterr().err


def test_a_complete_run_is_left_as_it_is(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = str(make_spec())
    assert main([spec]) == 0
    before = (tmp_path / "run" / "manifest.json").stat().st_mtime_ns
    assert main([spec]) == 0
    assert (tmp_path / "run" / "manifest.json").stat().st_mtime_ns == before
    assert lines(tmp_path / "run" / "events.jsonl")[-1]["type"] == "complete"


def test_the_adapter_opens_in_peft_and_changes_the_logits(
    make_spec: MakeSpec, tmp_path: Path, tiny_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert main([str(make_spec())]) == 0
    base: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    ids = torch.tensor([[1, 5, 9, 40]])
    with torch.no_grad():
        before = base(ids).logits.clone()
        after = PeftModel.from_pretrained(base, str(tmp_path / "run" / "adapter"))(ids).logits
    assert not torch.allclose(before, after)


def test_equal_spec_seed_and_threads_give_equal_bytes_and_another_seed_doesnt(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    weights = "adapter/adapter_model.safetensors"
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        assert main([str(make_spec(name, seed=seed))]) == 0
    one, two, three = (digests(tmp_path / name)[weights] for name in ("one", "two", "three"))
    assert one == two
    assert one != three


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_model_is_trained_from_scratch_and_trained_on(
    make_spec: MakeSpec, tmp_path: Path, optimizer: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    short = {"epochs": 1, "batch_size": 4, "max_length": 64, "optimizer": optimizer}
    first = make_spec("first", method="pretrain", base="scratch", architecture=SHAPE, hyperparameters=short)
    assert main([str(first)]) == 0
    model = tmp_path / "first" / "model"
    assert {p.name for p in model.iterdir()} >= {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja",
    }  # fmt: skip
    assert str(tmp_path) not in "".join(p.read_text() for p in model.glob("*.json"))
    second = make_spec("second", method="full", base=str(model), hyperparameters={**short, "precision": "bf16"})
    assert main([str(second)]) == 0
    opened: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "second" / "model")
    assert opened.config.vocab_size % 64 == 0
    assert AutoTokenizer.from_pretrained(tmp_path / "second" / "model").eos_token == "<|im_end|>"


def test_bad_data_names_its_lines_before_anything_is_trained(
    make_spec: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec = make_spec()
    with (tmp_path / "train.jsonl").open("ab") as out:
        out.write(b"\xff\n")
    assert main([str(spec)]) == 2
    error = capfd.readouterr().err
    assert "line 9: not UTF-8" in error
    assert "Traceback" not in error
    last = lines(tmp_path / "run" / "events.jsonl")[-1]
    assert (last["level"], last["type"]) == ("error", "invalid")
    assert "line 9" in last["message"]
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_pickled_weights_are_refused_unopened(
    make_spec: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "pickled"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert main([str(make_spec(base=str(base)))]) == 2
    assert "pytorch_model.bin is pickled" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"base": "no/such/dir"}, "no model at"),
        ({"hyperparameters": {"max_length": 4096}}, "over the base's 128"),
        ({"hyperparameters": {"max_length": 8}}, "raise max_length"),
        ({"hyperparameters": {"lora_targets": ["nothing"], "max_length": 64}}, "lora_targets"),
        ({"data": {"train": "no-such.jsonl"}}, "no-such.jsonl: No such file"),
    ],
)
def test_what_cant_be_run_exits_2(
    make_spec: MakeSpec, change: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(make_spec(**change))]) == 2
    assert said in capfd.readouterr().err


def test_a_stop_during_an_evaluation_commits_too(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genai_stack.training.watcher import Watcher

    data = {name: str(write_lines(tmp_path / f"{name}.jsonl", CHATS)) for name in ("train", "validation")}
    looked_at = Watcher.on_prediction_step

    def stopped_there(self: Watcher, *args: Any, **options: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        looked_at(self, *args, **options)

    monkeypatch.setattr(Watcher, "on_prediction_step", stopped_there)
    spec = str(make_spec(data=data))
    assert main([spec]) == 75
    assert [path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")] == ["step-2"]
    monkeypatch.undo()
    assert main([spec]) == 0
    evaluated = [line for line in lines(tmp_path / "run" / "metrics.jsonl") if "validation_loss" in line]
    assert [line["step"] for line in evaluated] == [2]


def test_the_command_line_exits_2_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('nme = "x"\n')
    done = subprocess.run(
        [sys.executable, "-m", "genai_stack.training", str(tmp_path / "bad.toml")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().endswith("nme: no such key; did you mean 'name'?")
