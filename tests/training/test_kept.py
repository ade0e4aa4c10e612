"""The adapters that a run keeps on its way are what a run that ends there would leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import InvalidSpec
from genai_stack.training.__main__ import main
from genai_stack.training.kept import KeptAdapters
from genai_stack.training.outputs import RunLog
from genai_stack.training.spec import parse

MakeSpec = Callable[..., Path]
STEADY = {
    "batch_size": 4, "max_length": 64, "learning_rate": 0.05, "lora_rank": 4, "schedule": "constant",
    "warmup_ratio": 0.0,
}  # fmt: skip


def events(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]


def test_what_is_kept_is_what_a_shorter_run_makes(make_spec: MakeSpec, tmp_path: Path) -> None:
    assert main([str(make_spec("long", keep_epochs=3, hyperparameters={**STEADY, "epochs": 4}))]) == 0
    assert main([str(make_spec("short", hyperparameters={**STEADY, "epochs": 2}))]) == 0
    kept = tmp_path / "long" / "kept"
    assert sorted(folder.name for folder in kept.iterdir()) == ["step-4", "step-6"]
    assert [event["step"] for event in events(tmp_path / "long") if event["type"] == "kept"] == [4, 6]
    short = tmp_path / "short" / "adapter"
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (kept / "step-4" / name).read_bytes() == (short / name).read_bytes()
    told = json.loads((kept / "step-4" / "manifest.json").read_bytes())
    assert {entry["path"] for entry in told["files"]} >= {"kept/step-4/adapter_model.safetensors"}


def test_one_that_is_there_is_told_of_again_and_not_made_again(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = str(make_spec("run", keep_epochs=2, hyperparameters={**STEADY, "epochs": 3}))
    said = RunLog.event

    def dies(self: RunLog, type_: str, message: str, **more: Any) -> None:
        if type_ == "kept":
            raise OSError("gone")
        said(self, type_, message, **more)

    monkeypatch.setattr(RunLog, "event", dies)
    assert main([spec]) == 1
    weights = tmp_path / "run" / "kept" / "step-4" / "adapter_model.safetensors"
    before = weights.stat().st_mtime_ns
    monkeypatch.undo()
    assert main([spec]) == 0
    assert weights.stat().st_mtime_ns == before
    assert [event["step"] for event in events(tmp_path / "run") if event["type"] == "kept"] == [4]


@pytest.mark.parametrize(
    "change",
    [{"method": "full"}, {"hyperparameters": {"epochs": 1.5}}, {"hyperparameters": {"max_steps": 5}}],
)
def test_what_has_no_epochs_to_keep_is_refused(change: dict[str, Any]) -> None:
    spec = {"name": "x", "method": "lora", "output": "o", "data": {"train": "t"}, "keep_epochs": 1}
    with pytest.raises(InvalidSpec, match="keep_epochs"):
        parse({**spec, **change})


def test_few_epochs_are_all_kept() -> None:
    spec = parse(
        {"name": "x", "method": "lora", "output": "o", "data": {"train": "t"}, "keep_epochs": 3,
         "hyperparameters": {"epochs": 2}}
    )  # fmt: skip
    keeping: Any = KeptAdapters(spec, None, None)  # type: ignore[arg-type]
    assert [epoch for epoch in (0.5, 1.0, 1.5) if keeping._due(epoch)] == [1.0]
