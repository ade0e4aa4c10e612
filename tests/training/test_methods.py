"""What each method makes: adapters on quantized bases and on preferences, merged and compiled exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack.training.__main__ import main
from tests.training.conftest import CHATS, write_lines

MakeSpec = Callable[..., Path]
SHORT = {"epochs": 6, "batch_size": 4, "max_length": 64, "learning_rate": 0.02, "lora_rank": 4}
PAIRS = [
    {
        "prompt": chat["messages"][:1],
        "chosen": chat["messages"][1:],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    for chat in CHATS
]


def metrics(output: Path) -> list[dict[str, Any]]:
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "loss" in line]


def opened(base: Path, adapter: Path | None = None) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return (PeftModel.from_pretrained(model, str(adapter)) if adapter else model).eval()


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([[1, 5, 9, 40]])).logits


@pytest.mark.parametrize("whole", [False, True])
def test_preferences_are_learned(make_spec: MakeSpec, tmp_path: Path, whole: bool) -> None:
    data = {"train": str(write_lines(tmp_path / "pairs.jsonl", PAIRS))}
    given = {**SHORT, "learning_rate": 0.002 if whole else 0.02, "dpo_whole_model": whole}
    assert main([str(make_spec(method="dpo", data=data, hyperparameters=given))]) == 0
    output = tmp_path / "run"
    told = metrics(output)
    assert told[0]["rewards_margins"] == pytest.approx(0, abs=1e-6)
    assert told[-1]["rewards_margins"] > 0.1
    assert told[-1]["loss"] < told[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    made = json.loads((output / "manifest.json").read_bytes())
    assert made["kind"] == ("model" if whole else "adapter")
    folders = {entry["path"].partition("/")[0] for entry in made["files"]}
    assert folders == {made["kind"], "loss.png"}
    assert list((output / "tensorboard").iterdir())


def test_pairs_and_methods_are_held_to_each_other(
    make_spec: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = {"train": str(write_lines(tmp_path / "pairs.jsonl", PAIRS))}
    assert main([str(make_spec(data=pairs))]) == 2
    assert "use method dpo" in capfd.readouterr().err
    assert main([str(make_spec(method="dpo"))]) == 2
    assert "use method lora or full" in capfd.readouterr().err


@pytest.mark.slow
def test_an_adapter_trained_on_four_bits_fits_the_base_in_whole(
    make_spec: MakeSpec, tmp_path: Path, tiny_model: Path
) -> None:
    import torch

    assert main([str(make_spec(method="qlora", hyperparameters=SHORT))]) == 0
    told = metrics(tmp_path / "run")
    assert told[-1]["loss"] < told[0]["loss"]
    assert not torch.allclose(
        logits(opened(tiny_model)), logits(opened(tiny_model, tmp_path / "run" / "adapter"))
    )


@pytest.mark.slow
def test_a_merged_model_says_what_base_and_adapter_say_and_is_compiled(
    make_spec: MakeSpec, tmp_path: Path, tiny_model: Path
) -> None:
    import torch

    given = {**SHORT, "save_precision": "f32"}
    assert main([str(make_spec(export=["merged", "compiled"], hyperparameters=given))]) == 0
    output = tmp_path / "run"
    apart, merged = logits(opened(tiny_model, output / "adapter")), logits(opened(output / "merged"))
    torch.testing.assert_close(apart, merged, rtol=0, atol=1e-4)
    listed = {entry["path"] for entry in json.loads((output / "manifest.json").read_bytes())["files"]}
    assert {"merged/model.safetensors", "merged/openvino/openvino_model.xml", "adapter/README.md"} <= listed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"export": ["compiled"]}, 'ask for "merged" too'),
        ({"method": "full", "export": ["merged"]}, "whole already"),
        ({"method": "qlora", "shard": True}, 'method = "lora"'),
        ({"hyperparameters": {"dpo_whole_model": True}}, 'only method = "dpo"'),
        ({"method": "dpo", "hyperparameters": {"packing": True}}, "aren't packed"),
        ({"method": "dpo", "data": {"train": "t.jsonl", "loss": "all"}}, "answers alone"),
    ],
)
def test_what_contradicts_itself_is_refused(
    make_spec: MakeSpec, change: dict[str, Any], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(make_spec(**change))]) == 2
    assert said in capfd.readouterr().err


def test_out_of_memory_goes_on_with_half_as_many_at_a_time_to_the_same_result(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from genai_stack.training.trainers import SequenceTrainer

    given = {**SHORT, "checkpoint_every": 3}
    assert main([str(make_spec("roomy", hyperparameters=given))]) == 0
    computed = SequenceTrainer.compute_loss
    sizes = []

    def short_of_memory(self: Any, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        sizes.append(len(inputs["input_ids"]))
        if len(sizes) > 7 and sizes[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return computed(self, model, inputs, *args, **options)

    monkeypatch.setattr(SequenceTrainer, "compute_loss", short_of_memory)
    assert main([str(make_spec("tight", hyperparameters=given))]) == 0
    assert set(sizes[8:]) == {2}
    told = [json.loads(line) for line in (tmp_path / "tight" / "events.jsonl").read_text().splitlines()]
    assert [event["type"] for event in told if event["level"] == "warn"] == ["out_of_memory"]
    assert [event["checkpoint"] for event in told if event["type"] == "resumed"] == ["step-6"]
    roomy, tight = (
        {line["step"]: line["loss"] for line in metrics(tmp_path / name)} for name in ("roomy", "tight")
    )
    assert tight.keys() == roomy.keys()
    for step, loss in roomy.items():
        assert tight[step] == pytest.approx(loss, abs=2e-3)


def test_a_second_shortage_ends_the_run_and_says_what_to_do(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    from genai_stack.training.trainers import SequenceTrainer

    def none_left(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SequenceTrainer, "compute_loss", none_left)
    assert main([str(make_spec())]) == 1
    assert "lower batch_size or max_length" in capfd.readouterr().err
