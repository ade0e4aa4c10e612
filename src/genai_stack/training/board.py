"""TensorBoard: the metrics of a run as curves, under `tensorboard/` in its output."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

FOLDER = "tensorboard"
NOT_CURVES = ("step", "total_steps", "epoch")


class Board:
    """Without the package tensorboard, and with `quiet`, nothing is written."""

    def __init__(self, output: Path, *, quiet: bool) -> None:
        self._writer: Any = None if quiet else _writer(output / FOLDER)

    def metrics(self, values: dict[str, Any]) -> None:
        """One line of metrics.jsonl."""
        if self._writer is not None:
            for name, value in values.items():
                if name not in NOT_CURVES:
                    self._writer.add_scalar(name, value, values["step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder))
