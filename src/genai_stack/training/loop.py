"""The optimization itself: TRL's trainer, driven by a spec, watched by callbacks, interrupted at step ends."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from ..errors import InvalidSpec
from .encode import IGNORED, Encoded
from .interrupts import Interrupted, on_signal
from .optimizers import MUON_RATE, MuonWithAdamW
from .outputs import RunLog
from .spec import TrainingSpec

KEPT_CHECKPOINTS = 2
SPEC_FILE = "spec.json"


def optimize(
    spec: TrainingSpec, model: Any, tokenizer: Any, train: Sequence[Encoded], validation: Sequence[Encoded],
    output: Path, log: RunLog,
) -> dict[str, Any]:  # fmt: skip
    """Trains `model` in place and returns `{"steps", "loss", "tokens", "seconds"}`: the mean loss of the last tenth of
    the steps, the tokens seen and the wall time. Raises Interrupted at the end of the step a signal arrived in."""
    watcher = _Watcher(spec, output, log)
    trainer: Any = SFTTrainer(
        model=model,
        args=_arguments(spec, output, bool(validation)),
        train_dataset=_dataset(train),
        eval_dataset=_dataset(validation) if validation else None,
        processing_class=tokenizer,
        data_collator=_Collator(tokenizer.pad_token_id),
        callbacks=[watcher],
        optimizers=(_optimizer(spec, model), None),
    )
    trainer.remove_callback(PrinterCallback)
    resumed = newest_checkpoint(output)
    if resumed is not None:
        _check_same_spec(spec, resumed)
        log.event("resumed", f"resuming from {resumed.name}", checkpoint=resumed.name)
    with on_signal(watcher.stop):
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    if watcher.stopped:
        newest = newest_checkpoint(output)
        assert newest is not None
        raise Interrupted(f"interrupted; {newest.name} is kept, the same command resumes from it")
    return watcher.result(trainer.state.global_step)


def newest_checkpoint(output: Path) -> Path | None:
    """The committed checkpoint with the most steps."""
    found = sorted((output / "checkpoints").glob("step-*"), key=lambda path: int(path.name.partition("-")[2]))
    return found[-1] if found else None


def _check_same_spec(spec: TrainingSpec, checkpoint: Path) -> None:
    """A checkpoint goes on under the spec it was made by; InvalidSpec otherwise."""
    try:
        made_by = (checkpoint / SPEC_FILE).read_bytes()
    except OSError:
        made_by = b""
    if made_by != msgspec.json.encode(spec):
        raise InvalidSpec(f"output: {checkpoint} was made by another spec; give another directory or remove it")


def _arguments(spec: TrainingSpec, output: Path, evaluate: bool) -> Any:
    h = spec.hyperparameters
    return SFTConfig(
        output_dir=str(output / "checkpoints" / ".partial"),
        num_train_epochs=h.epochs,
        max_steps=h.max_steps or -1,
        per_device_train_batch_size=h.batch_size,
        per_device_eval_batch_size=h.batch_size,
        gradient_accumulation_steps=h.gradient_accumulation,
        learning_rate=spec.learning_rate,
        lr_scheduler_type="constant_with_warmup" if h.schedule == "constant" else h.schedule,
        warmup_steps=h.warmup_ratio if h.warmup_ratio < 1 else 0.999,
        weight_decay=h.weight_decay,
        max_grad_norm=h.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=h.precision == "bf16",
        fp16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        seed=spec.seed,
        data_seed=spec.seed,
        logging_steps=h.log_every,
        eval_strategy="epoch" if evaluate else "no",
        save_strategy="steps" if h.checkpoint_every else "no",
        save_steps=h.checkpoint_every or 500,
        disable_tqdm=True,
        report_to="none",
        max_length=None,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
    )


def _optimizer(spec: TrainingSpec, model: Any) -> Any:
    h = spec.hyperparameters
    if h.optimizer == "muon":
        return MuonWithAdamW(model, lr=spec.learning_rate, weight_decay=h.weight_decay)
    return None


def _dataset(sequences: Sequence[Encoded]) -> Any:
    return Dataset.from_dict({"input_ids": [s.ids for s in sequences], "labels": [s.labels for s in sequences]})


class _Collator:
    """Pads on the right to the longest sequence of a batch; padding is neither attended to nor learned."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        width = max(len(row["input_ids"]) for row in rows)
        gaps = [width - len(row["input_ids"]) for row in rows]
        return {
            "input_ids": torch.tensor(
                [row["input_ids"] + [self.pad] * gap for row, gap in zip(rows, gaps, strict=True)]
            ),
            "labels": torch.tensor(
                [row["labels"] + [IGNORED] * gap for row, gap in zip(rows, gaps, strict=True)]
            ),
            "attention_mask": torch.tensor([[1] * (width - gap) + [0] * gap for gap in gaps]),
        }


class _Watcher(TrainerCallback):
    """Writes metrics, commits checkpoints by rename, and turns a signal into a checkpoint and a stop."""

    def __init__(self, spec: TrainingSpec, output: Path, log: RunLog) -> None:
        self.spec, self.output, self.log = spec, output, log
        self.stopped = False
        self.losses: list[float] = []
        self.tokens = self.tokens_before = 0.0
        self.began = self.logged = time.monotonic()

    def stop(self) -> None:
        """Asks for a checkpoint and the end, as soon as the step under way is done."""
        self.stopped = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.began = self.logged = time.monotonic()
        self.log.event("started", f"{state.max_steps} steps", total_steps=state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        logs = logs or {}
        now = time.monotonic()
        common = {
            "step": state.global_step,
            "total_steps": state.max_steps,
            "epoch": round(state.epoch or 0.0, 4),
        }
        if "eval_loss" in logs:
            self.log.metrics(**common, validation_loss=logs["eval_loss"])
        if "loss" not in logs:
            return
        self.tokens_before, self.tokens = self.tokens, float(logs.get("num_tokens", 0.0))
        speed = (self.tokens - self.tokens_before) / max(now - self.logged, 1e-9)
        self.logged = now
        self.losses.append(float(logs["loss"]))
        self.log.metrics(
            **common,
            loss=float(logs["loss"]),
            learning_rate=self._rate(float(logs["learning_rate"])),
            tokens_per_second=round(speed, 1),
            gradient_norm=float(logs.get("grad_norm", 0.0)),
            tokens=int(self.tokens),
        )

    def _rate(self, logged: float) -> float:
        """The logged rate is the first group's; Muon's stands for AdamW's times a constant."""
        return logged / MUON_RATE if self.spec.hyperparameters.optimizer == "muon" else logged

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self.stopped:
            control.should_save = control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        name = f"step-{state.global_step}"
        made = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        target = self.output / "checkpoints" / name
        (made / SPEC_FILE).write_bytes(msgspec.json.encode(self.spec))
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
        self.log.event("checkpoint", f"{name} is committed", checkpoint=name)
        kept = sorted(target.parent.glob("step-*"), key=lambda path: int(path.name.partition("-")[2]))
        for old in kept[:-KEPT_CHECKPOINTS]:
            shutil.rmtree(old, ignore_errors=True)

    def result(self, steps: int) -> dict[str, Any]:
        last = self.losses[-max(1, len(self.losses) // 10) :]
        return {"steps": steps, "loss": sum(last) / len(last) if last else None, "tokens": int(self.tokens),
                "seconds": round(time.monotonic() - self.began, 3)}  # fmt: skip
