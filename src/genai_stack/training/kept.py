"""Adapters on the way: what the adapter is at the end of each of a run's last epochs, kept as one of its own.

One lies in `kept/step-N`, as PEFT writes adapters, beside a manifest.json that is written last. It is whole before the
checkpoint of that step is: a run that is resumed from there need not make it again. The last epoch's is the result.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from .. import names
from . import ranks
from .models import save_adapter
from .outputs import MANIFEST, RunLog, listed, write_last
from .place import Place
from .sharding import whole_weights
from .spec import TrainingSpec

EVENT = "kept"


class KeptAdapters(TrainerCallback):
    """`trainer` is set before training begins; every process of the run has one of these."""

    def __init__(self, spec: TrainingSpec, place: Place, log: RunLog) -> None:
        self._spec, self._place, self._log = spec, place, log
        self.trainer: Any = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps or not self._due(float(state.epoch or 0.0)):
            return
        weights = whole_weights(self.trainer)
        if ranks.is_first():
            self._keep(state.global_step, weights)

    def _due(self, epoch: float) -> bool:
        first = self._spec.hyperparameters.epochs - self._spec.keep_epochs
        return epoch.is_integer() and epoch > first

    def _keep(self, step: int, weights: dict[str, Any] | None) -> None:
        name = names.kept_adapter(step)
        folder = self._place.path / name
        if not self._place.holds(f"{name}/{MANIFEST}"):
            save_adapter(self.trainer.model, self._spec, folder, weights)
            files = listed(folder, self._place.path)
            for entry in files:
                self._place.put(entry["path"])
            write_last(folder, {"step": step, "files": files}, files, self._place.path)
            self._place.put(f"{name}/{MANIFEST}")
        self._log.event(EVENT, f"the adapter after step {step} is kept", step=step)
