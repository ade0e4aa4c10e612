"""The optimization itself: a trainer, driven by a spec, stopped and resumed at step ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import settings
from . import devices, ranks
from .board import Board
from .checkpoints import ASIDE, Checkpoint, Checkpoints
from .interrupts import Interrupted, on_signal, on_spot_notice
from .kept import KeptAdapters
from .outputs import RunLog
from .place import Place
from .rows import fingerprint
from .sharding import fully_sharded, whole_weights
from .spec import TrainingSpec
from .trainers import make_trainer, trainer_arguments
from .watcher import Watcher


@dataclass(frozen=True)
class Trained:
    """`result` is the watcher's. `weights` are the model's in whole, where `model` holds only this process's shard of
    them (rank 0 alone gets them), else None."""

    model: Any
    result: dict[str, Any]
    weights: dict[str, Any] | None


def optimize(
    spec: TrainingSpec, opened: Callable[[], Any], tokenizer: Any, train: Sequence[Any],
    validation: Sequence[Any], place: Place, log: RunLog,
) -> Trained:  # fmt: skip
    """Trains the model that `opened` opens.

    Raises Interrupted at the end of the step a stop arrived in. Out of memory, the run goes on from its newest
    checkpoint with half the sequences at a time and as many per step: at once where it is one process; else it is
    interrupted, for all processes to take the new size when it is run again. A second time it raises what the device
    raised.
    """
    checkpoints = Checkpoints(spec, place, log, rows=fingerprint(train))

    def attempt(at_a_time: int) -> Trained:
        # Before all else: it lets the processes find each other, and says how models are to be opened.
        arguments = trainer_arguments(spec, _arguments(spec, place, bool(validation), at_a_time))
        resumed = checkpoints.newest()
        arguments.eval_on_start = bool(resumed and resumed.told.get("owes_evaluation"))
        with Board(place.path, quiet=not ranks.is_first()) as board:
            watcher = Watcher(spec, checkpoints, log, board, resumed, lasting=_must_last(spec, place))
            trainer = make_trainer(spec, opened, tokenizer, train, validation, arguments, watcher)
            if spec.keep_epochs:
                keeping = KeptAdapters(spec, place, log)
                keeping.trainer = trainer
                trainer.add_callback(keeping)
            with on_signal(watcher.stop), on_spot_notice(settings.instance_metadata(), watcher.stop):
                _train(trainer, watcher, checkpoints, resumed, log)
        return Trained(trainer.model, watcher.result(trainer.state.global_step), whole_weights(trainer))

    whole = ranks.share(spec.hyperparameters.batch_size)
    at_a_time = _smaller(place) or whole
    try:
        return attempt(at_a_time)
    except Exception as error:
        if not devices.out_of_memory(error) or at_a_time == 1 or at_a_time < whole:
            raise
    half = next(n for n in range(at_a_time // 2, 0, -1) if at_a_time % n == 0)
    message = (
        f"out of memory with {at_a_time} sequences at a time; going on with {half}, as many per step as before"
    )
    log.event("out_of_memory", message, level="warn")
    if ranks.world() > 1:
        (place.path / SMALLER).write_text(json.dumps({"at_a_time": half}))
        place.put(SMALLER)
        raise Interrupted(message)
    _let_go()
    return attempt(half)


SMALLER = "out_of_memory.json"


def _smaller(place: Place) -> int | None:
    """The sequences at a time that an earlier attempt, of several processes, left after it ran out of memory."""
    if not place.holds(SMALLER):
        return None
    return int(json.loads((place.path / SMALLER).read_bytes())["at_a_time"])


def _must_last(spec: TrainingSpec, place: Place) -> bool:
    """Whether much can still go wrong once training has ended, so that it ends with a checkpoint."""
    return bool(spec.export) or place.store is not None


def _train(
    trainer: Any, watcher: Watcher, checkpoints: Checkpoints, resumed: Checkpoint | None, log: RunLog
) -> None:
    if resumed is not None:
        log.event("resumed", f"resuming from {resumed.path.name}", checkpoint=resumed.path.name)
    trainer.train(resume_from_checkpoint=str(resumed.path) if resumed else None)
    if watcher.stopped:
        raise Interrupted(f"interrupted; {checkpoints.latest} is kept, the same command resumes from it")


def _let_go() -> None:
    """Frees what an attempt that broke off held."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _arguments(spec: TrainingSpec, place: Place, evaluate: bool, at_a_time: int) -> dict[str, Any]:
    h = spec.hyperparameters
    device = devices.find()
    sharded = spec.shard and ranks.world() > 1
    return {
        "output_dir": str(place.path / ASIDE),
        "num_train_epochs": h.epochs,
        "max_steps": h.max_steps or -1,
        "per_device_train_batch_size": at_a_time,
        "per_device_eval_batch_size": at_a_time,
        "gradient_accumulation_steps": h.gradient_accumulation * (ranks.share(h.batch_size) // at_a_time),
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": "constant_with_warmup" if h.schedule == "constant" else h.schedule,
        "warmup_steps": h.warmup_ratio if h.warmup_ratio < 1 else 0.999,
        "weight_decay": h.weight_decay,
        "max_grad_norm": h.max_grad_norm,
        "optim": "adamw_torch_fused",
        "bf16": device.in_bf16(h.precision),
        "fp16": False,
        "torch_compile": h.compile,
        "gradient_checkpointing": h.gradient_checkpointing,
        "fsdp": sharded or None,
        "fsdp_config": fully_sharded(device) if sharded else None,
        "use_cpu": device.kind == "cpu",
        "ddp_backend": "gloo" if device.kind == "cpu" and ranks.world() > 1 else None,
        "ddp_find_unused_parameters": False,
        "seed": spec.seed,
        "data_seed": spec.seed,
        "logging_steps": h.log_every,
        "eval_strategy": "epoch" if evaluate else "no",
        "save_strategy": "steps" if h.checkpoint_every else "no",
        "save_steps": h.checkpoint_every or 500,
        "disable_tqdm": True,
        "report_to": "none",
        "logging_nan_inf_filter": False,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": device.kind == "cuda",
        "remove_unused_columns": False,
    }
