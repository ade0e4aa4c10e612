"""`genai-stack evaluate`: a model's scores on lm-eval's tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from . import show
from .options import bottom, computing, home_option, json_option, stage_option
from .train import follow


@click.command()
@click.argument("model")
@click.option("--tasks", required=True, metavar="NAME,…", help="Tasks, groups or tags of lm-eval.")
@click.option("--limit", type=click.IntRange(1), help="Questions per task.  [default: all]")
@click.option(
    "--num-fewshot", type=click.IntRange(0), help="Worked examples before each.  [default: the task's]"
)
@click.option(
    "--against",
    type=click.Choice(["api", "weights"]),
    help="The model as served, or in torch.  [default: api; weights on a stage]",
)
@click.option(
    "--task-dir", type=click.Path(path_type=Path, exists=True, file_okay=False), help="More tasks, in YAML."
)
@click.option("--detach", is_flag=True, help="Print the job's id and leave it to itself.")
@home_option
@stage_option
@json_option
def evaluate(
    model: str,
    tasks: str,
    task_dir: Path | None,
    detach: bool,
    home: Path,
    stage: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score MODEL with the LM Evaluation Harness (the extra `eval`).

    The API is the stack that runs in this home, or one started for it. Ctrl-C leaves the job running. The same request
    again picks up the same job, and so does one that was interrupted: what was answered isn't asked again.

    With --stage the job runs on AWS Batch and scores the weights, on tasks that lm-eval has.
    """
    named = [name for task in tasks.split(",") if (name := task.strip())]
    training, place = bottom(home, stage)
    asked = {**computing(stage), **options}
    job = training.evaluate(model, named, task_dir=str(task_dir) if task_dir else None, **asked)
    if detach:
        show.document(job.refresh()) if as_json else click.echo(job.id)
        return
    follow(job, place.option, quiet=as_json)
    results = job.results()
    if as_json:
        show.document(results)
        return
    if sys.stdout.isatty():
        click.echo(f"{model}, {results['against']}, {results['seconds']:.0f} s")
    header = ("task", "metric", "score", "95 % interval", "questions", "few-shot", "version")
    show.rows(header, [_row(score) for score in results["scores"]], empty="no scores")


def _row(score: dict[str, Any]) -> tuple[str, ...]:
    from ..bulk.scores import CONFIDENCE

    value, stderr = score["value"], score["stderr"]
    spread = (
        "-" if stderr is None else f"{value - CONFIDENCE * stderr:.4f} to {value + CONFIDENCE * stderr:.4f}"
    )
    metric = score["metric"] if score["filter"] == "none" else f"{score['metric']} ({score['filter']})"
    shots, version = score["num_fewshot"], score["version"]
    return (
        score["task"],
        metric,
        f"{value:.4f}",
        spread,
        str(score["n"]),
        "-" if shots is None else str(shots),
        version or "-",
    )
