"""What every trainer here does beside its own work."""

from __future__ import annotations

from typing import Any

from .sharding import shard_on_processors
from .watcher import EvaluationStopped, Watcher


class Watched:
    """Goes before a trainer's class: tells the watcher how many tokens each step sees, breaks off an evaluation for a
    stop, and shards where accelerate wouldn't."""

    watcher: Watcher
    control: Any

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()  # type: ignore[misc]
        shard_on_processors(self)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        tokens = int(inputs.pop("tokens").sum())
        if model.training:
            self.watcher.count(tokens)
        return super().compute_loss(model, inputs, *args, **options)  # type: ignore[misc]

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        if self.watcher.stopped:
            return {}
        try:
            measured: dict[str, float] = super().evaluate(*args, **options)  # type: ignore[misc]
        except EvaluationStopped:
            self.watcher.owes_evaluation = True
            self.control.should_save = self.control.should_training_stop = True
            return {}
        return measured
