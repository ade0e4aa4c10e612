"""What a person keeps of a run: the loss curve as a picture, and a model card that says how the result was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import json_lines
from .models import base_name
from .outputs import digest
from .spec import TrainingSpec, plain

CURVE = "loss.png"
CARD = "README.md"
METHODS = {
    "pretrain": "Pretrained",
    "full": "Tuned whole",
    "lora": "Tuned by a LoRA adapter",
    "qlora": "Tuned by a LoRA adapter on a base in 4 bits",
    "dpo": "Tuned on preferences (DPO)",
}


def losses(metrics: Path, key: str = "loss") -> dict[int, float]:
    """The losses in a metrics.jsonl by step; a step told twice, before and after an interruption, counts once."""
    rows = json_lines.parse(metrics.read_bytes())
    found = {row["step"]: row[key] for row in rows if key in row}
    return {step: found[step] for step in sorted(found)}


def last_loss(metrics: Path) -> float | None:
    """The mean loss of the last tenth of the logged steps."""
    told = [*losses(metrics).values()]
    last = told[-max(1, len(told) // 10) :]
    return sum(last) / len(last) if last else None


def draw_curve(metrics: Path, picture: Path) -> None:
    """The losses in a metrics.jsonl by step, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes: Any = figure.subplots()
    for key, label, style in (("loss", "training", "-"), ("validation_loss", "validation", "o--")):
        if points := losses(metrics, key):
            axes.plot([*points.keys()], [*points.values()], style, label=label)
    axes.set(xlabel="step", ylabel="loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=120, metadata={"Software": None})


def model_card(spec: TrainingSpec, result: dict[str, Any]) -> str:
    """A model card in the hub's form: YAML on top, then how it was trained, every value from the spec and the run."""
    top = {
        "library_name": "peft" if spec.adapter else "transformers",
        "pipeline_tag": "text-generation",
        **({"base_model": base_name(spec)} if spec.base != "scratch" else {}),
        "tags": ["genai-stack", spec.method],
    }
    files = (("training", spec.data.train), ("validation", spec.data.validation))
    data = [(name, Path(path)) for name, path in files if path]
    settings = {key: value for key, value in plain(spec)["hyperparameters"].items() if value not in (None, [])}
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in top.items()),
        "---",
        "",
        f"# {spec.name}",
        "",
        f"{METHODS[spec.method]}{'' if spec.base == 'scratch' else f' from `{base_name(spec)}`'}, seed {spec.seed}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} data | {_about(path)} |" for name, path in data),
        f"| steps | {result['steps']} |",
        f"| tokens | {result['tokens']} |",
        f"| loss, mean of the last tenth | {result['loss']:.4f} |" if result["loss"] is not None else "",
        "",
        "## Hyperparameters",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {json.dumps(value)} |" for key, value in settings.items()),
        "",
        "Not evaluated beyond the loss above: what it can and can't do is for whoever publishes it to say.",
        "",
    ]
    return "\n".join(lines)


def _about(path: Path) -> str:
    """A file's name and digest; of anything else its name."""
    return f"{path.name}, SHA-256 `{digest(path)}`" if path.is_file() else path.name
