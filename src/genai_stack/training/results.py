"""What a trained model leaves: the weights, a card, the loss curve, what `export` asks, and the manifest last."""

from __future__ import annotations

from typing import Any

from .board import FOLDER as BOARD
from .export import export
from .loop import Trained
from .models import save
from .outputs import commit
from .place import Place
from .report import CARD, CURVE, draw_curve, last_loss, model_card
from .spec import TrainingSpec


def finish(spec: TrainingSpec, trained: Trained, tokenizer: Any, place: Place) -> dict[str, Any]:
    """Writes all of it into `place` and commits the run. Returns the result in the manifest: the watcher's, and `loss`,
    the mean of the last tenth of the steps."""
    result = {**trained.result, "loss": last_loss(place.path / "metrics.jsonl")}
    kind = save(trained.model, tokenizer, spec, place.path, trained.weights)
    (place.path / kind / CARD).write_text(model_card(spec, result), encoding="utf-8")
    draw_curve(place.path / "metrics.jsonl", place.path / CURVE)
    more = export(spec, tokenizer, place.path)
    for path in (place.path / BOARD).glob("*"):
        place.put(f"{BOARD}/{path.name}")
    commit(place, spec, [kind, *more, CURVE], result)
    return result
