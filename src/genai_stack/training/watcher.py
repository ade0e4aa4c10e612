"""What stands beside the trainer: metrics out, checkpoints committed, and a request to stop kept at the next step."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..errors import GenAIStackError
from . import devices, ranks
from .board import Board
from .checkpoints import Checkpoint, Checkpoints
from .optimizers import MUON_RATE
from .outputs import RunLog
from .spec import TrainingSpec


class EvaluationStopped(Exception):
    """Breaks off an evaluation that a stop arrived in."""


class Watcher(TrainerCallback):
    """With `lasting`, training ends with a checkpoint of its own."""

    def __init__(
        self, spec: TrainingSpec, checkpoints: Checkpoints, log: RunLog, board: Board, resumed: Checkpoint | None,
        *, lasting: bool,
    ) -> None:  # fmt: skip
        self._spec, self._checkpoints, self._log, self._board = spec, checkpoints, log, board
        self._lasting = lasting
        self._asked = False
        self.owes_evaluation = False
        """Whether a stop came in the way of one."""
        self.stopped = False
        told = resumed.told if resumed else {}
        self._tokens_logged = int(told.get("tokens", 0))
        self._tokens = self._tokens_logged if ranks.is_first() else 0
        self._seconds_before = float(told.get("seconds", 0.0))
        self._began = self._logged = time.monotonic()
        self._flops: float | None = None

    def stop(self) -> None:
        """Asks for a checkpoint and the end, as soon as the step under way is done. Safe in a signal handler."""
        self._asked = True

    def count(self, tokens: int) -> None:
        """The trainer tells what each of its steps saw, in this process."""
        self._tokens += tokens

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self._began = self._logged = time.monotonic()
        device = devices.find()
        if device.peak and model is not None:
            per_token = devices.flops_per_token(model, self._spec.hyperparameters.max_length)
            self._flops = per_token / (device.peak * ranks.world())
        self._log.event("started", f"{state.max_steps} steps on {device.name}", total_steps=state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        logs = logs or {}
        about = {
            "step": state.global_step,
            "total_steps": state.max_steps,
            "epoch": round(state.epoch or 0.0, 4),
        }
        if "eval_loss" in logs:
            self._tell({**about, "validation_loss": logs["eval_loss"]})
        if "loss" not in logs:
            return
        now, tokens = time.monotonic(), sum(ranks.gathered(self._tokens))
        speed = (tokens - self._tokens_logged) / max(now - self._logged, 1e-9)
        self._logged, self._tokens_logged = now, tokens
        if not math.isfinite(float(logs["loss"])):
            raise GenAIStackError(
                f"the loss is {logs['loss']} at step {state.global_step}; lower learning_rate, or raise warmup_ratio"
            )
        told = {
            "loss": float(logs["loss"]),
            "learning_rate": self._rate(float(logs["learning_rate"])),
            "tokens_per_second": round(speed, 1),
            "gradient_norm": float(logs.get("grad_norm", 0.0)),
            "tokens": tokens,
        }
        if self._flops:
            told["mfu"] = round(speed * self._flops, 4)
        for name in ("rewards/accuracies", "rewards/margins"):
            if name in logs:
                told[name.replace("/", "_")] = float(logs[name])
        self._tell({**about, **told})

    def _tell(self, values: dict[str, Any]) -> None:
        self._log.metrics(**values)
        self._board.metrics(values)

    def _rate(self, logged: float) -> float:
        """The logged rate is the first group's; Muon's stands for AdamW's times a constant."""
        return logged / MUON_RATE if self._spec.hyperparameters.optimizer == "muon" else logged

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self._agreed():
            control.should_save = control.should_training_stop = True
        elif self._lasting and state.global_step >= state.max_steps:
            control.should_save = True
        return control

    def on_prediction_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._agreed():
            raise EvaluationStopped

    def _agreed(self) -> bool:
        """Whether any process was asked to stop: then all of them stop at the same step."""
        self.stopped = self.stopped or ranks.any_of(self._asked)
        return self.stopped

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        made = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        at_epoch_end = args.eval_strategy == "epoch" and float(state.epoch or 0.0).is_integer()
        self._checkpoints.commit(
            made,
            state.global_step,
            tokens=sum(ranks.gathered(self._tokens)),
            seconds=self._seconds(),
            world=ranks.world(),
            owes_evaluation=self.owes_evaluation or (self.stopped and at_epoch_end),
        )

    def _seconds(self) -> float:
        return round(self._seconds_before + time.monotonic() - self._began, 3)

    def result(self, steps: int) -> dict[str, Any]:
        """`{"steps", "tokens", "seconds"}`: tokens seen and seconds trained, those of interrupted attempts included."""
        return {"steps": steps, "tokens": sum(ranks.gathered(self._tokens)), "seconds": self._seconds()}
