"""The optimization itself: transformers' trainer, driven by a spec, watched by callbacks, interrupted at step ends."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

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
    trainer: Any = _Trainer(
        model=model,
        args=_arguments(spec, output, bool(validation)),
        train_dataset=train,
        eval_dataset=validation or None,
        processing_class=tokenizer,
        data_collator=Collator(tokenizer.pad_token_id),
        callbacks=[watcher],
        optimizers=(_optimizer(spec, model), None),
    )
    trainer.count = watcher.count
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
    return TrainingArguments(
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
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )


def _optimizer(spec: TrainingSpec, model: Any) -> Any:
    h = spec.hyperparameters
    if h.optimizer == "muon":
        return MuonWithAdamW(model, lr=spec.learning_rate, weight_decay=h.weight_decay)
    return None


class _Trainer(Trainer):
    """Tells `count` how many tokens each training step sees."""

    count: Any

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        tokens = int(inputs.pop("tokens").sum())
        if model.training:
            self.count(tokens)
        return super().compute_loss(model, inputs, *args, **options)


class Collator:
    """Pads on the right to the longest row of a batch. Positions say where documents begin; with neither a mask nor a
    cache, transformers' masks keep documents apart by them. A pad is a document by itself, not learned."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: list[Encoded]) -> dict[str, Any]:
        import torch

        width = max(len(row.ids) for row in rows)

        def padded(values: Callable[[Encoded], list[int]], fill: int) -> Any:
            return torch.tensor([values(row) + [fill] * (width - len(row.ids)) for row in rows])

        return {
            "input_ids": padded(lambda row: row.ids, self.pad),
            "labels": padded(lambda row: row.labels, IGNORED),
            "position_ids": padded(lambda row: row.positions, 0),
            "tokens": torch.tensor([len(row.ids) for row in rows]),
            "use_cache": False,
        }


class _Watcher(TrainerCallback):
    """Writes metrics, commits checkpoints by rename, and turns a signal into a checkpoint and a stop."""

    def __init__(self, spec: TrainingSpec, output: Path, log: RunLog) -> None:
        self.spec, self.output, self.log = spec, output, log
        self.stopped = False
        self.losses: list[float] = []
        self.tokens = self.tokens_before = 0
        self.began = self.logged = time.monotonic()

    def stop(self) -> None:
        """Asks for a checkpoint and the end, as soon as the step under way is done."""
        self.stopped = True

    def count(self, tokens: int) -> None:
        self.tokens += tokens

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
        speed = (self.tokens - self.tokens_before) / max(now - self.logged, 1e-9)
        self.logged, self.tokens_before = now, self.tokens
        self.losses.append(float(logs["loss"]))
        self.log.metrics(
            **common,
            loss=float(logs["loss"]),
            learning_rate=self._rate(float(logs["learning_rate"])),
            tokens_per_second=round(speed, 1),
            gradient_norm=float(logs.get("grad_norm", 0.0)),
            tokens=self.tokens,
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
        return {"steps": steps, "loss": sum(last) / len(last) if last else None, "tokens": self.tokens,
                "seconds": round(time.monotonic() - self.began, 3)}  # fmt: skip
