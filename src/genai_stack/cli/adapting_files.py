"""What `genai-stack adapt` found, to keep: a picture, a table and all of it as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..scorecard.adapting import Point
    from ..scorecard.asking import Answered

COLUMNS = ("way", "examples", "right", "n", "score", "low", "high", "steps", "seconds", "model")
WAYS = {"prompt": "in the prompt", "lora": "by LoRA"}


def write(directory: Path, model: str, points: Sequence[Point], answers: Sequence[Answered]) -> list[Path]:
    """Writes adapting.png, adapting.csv and adapting.json, and returns them. Needs matplotlib."""
    import msgspec

    picture, table, whole = (directory / f"adapting.{kind}" for kind in ("png", "csv", "json"))
    draw(picture, model, points)
    table.write_text(_csv(points), encoding="utf-8")
    said = [
        {
            "series": each.series,
            "model": each.model,
            "question": each.body["messages"][-1]["content"],
            "expected": each.expected,
            "said": each.said,
            "error": each.error,
        }
        for each in answers
    ]
    told = msgspec.json.encode({"model": model, "points": points, "answers": said})
    whole.write_bytes(msgspec.json.format(told, indent=2) + b"\n")
    return [picture, table, whole]


def draw(picture: Path, model: str, points: Sequence[Point]) -> None:
    """Accuracy against the number of examples, with 95 % intervals, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes: Any = figure.subplots()
    for way, label in WAYS.items():
        here = sorted((point for point in points if point.way == way), key=lambda point: point.examples)
        if not here:
            continue
        scores = [point.score for point in here]
        below = [max(0.0, each.score - each.low) for each in scores]
        above = [max(0.0, each.high - each.score) for each in scores]
        axes.errorbar(
            [point.examples for point in here],
            [each.score for each in scores],
            yerr=[below, above],
            marker="o",
            capsize=3,
            label=label,
        )
    ticks = sorted({point.examples for point in points})
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="examples", ylabel="held-out answers that are exact", ylim=(-0.03, 1.03))
    axes.set_title(f"{model} on a new task".replace("$", r"\$"))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=120, metadata={"Software": None})


def _csv(points: Sequence[Point]) -> str:
    text = io.StringIO()
    lines = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    lines.writeheader()
    for point in points:
        score = point.score
        counted = {name: getattr(score, name) for name in ("right", "n", "score", "low", "high")}
        about = {name: getattr(point, name) for name in ("way", "examples", "steps", "seconds", "model")}
        lines.writerow({**about, **counted})
    return text.getvalue()
