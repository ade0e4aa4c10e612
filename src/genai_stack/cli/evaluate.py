"""`genai-stack evaluate`: a model's scores on held-out questions of the built-in world, or on lm-eval's tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from . import show
from .options import bottom, computing, home_option, json_option, stage_option, was_told
from .train import follow

LM_EVAL = ("limit", "num_fewshot", "against", "task_dir", "detach")
SCORECARD = ("count", "seed", "only", "out", "max_in_flight")


@click.command()
@click.argument("model")
@click.option("--tasks", metavar="NAME,…", help="Tasks, groups or tags of lm-eval, and not the scorecard.")
@click.option("--count", type=click.IntRange(1), help="Scorecard: questions of each family.  [default: 200]")
@click.option("--seed", type=click.IntRange(0), help="Scorecard: of the questions.  [default: 1]")
@click.option("--only", multiple=True, metavar="FAMILY", help="Scorecard: this family; again for more.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Scorecard: write every question and answer to this file, as JSON.",
)
@click.option(
    "--max-in-flight", type=click.IntRange(1, 1024), help="Scorecard: requests at a time.  [default: 16]"
)
@click.option("--limit", type=click.IntRange(1), help="lm-eval: questions per task.  [default: all]")
@click.option(
    "--num-fewshot", type=click.IntRange(0), help="lm-eval: worked examples before each.  [default: the task's]"
)
@click.option(
    "--against",
    type=click.Choice(["api", "weights"]),
    help="lm-eval: the model as served, or in torch.  [default: api; weights on a stage]",
)
@click.option(
    "--task-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="lm-eval: more tasks, in YAML.",
)
@click.option("--detach", is_flag=True, help="lm-eval: print the job's id and leave it to itself.")
@home_option
@stage_option
@json_option
def evaluate(
    model: str,
    tasks: str | None,
    count: int | None,
    seed: int | None,
    only: tuple[str, ...],
    out: Path | None,
    max_in_flight: int | None,
    task_dir: Path | None,
    detach: bool,
    home: Path,
    stage: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score MODEL on held-out questions of the built-in world, through the API: the scorecard.

    The API is the stack that runs in this home, the one at $GENAI_STACK_BASE_URL, or one started for it; with --stage,
    that stage's. The same --seed asks the same questions.

    With --tasks, score it with the LM Evaluation Harness instead (the extra `eval`). That is a job, which Ctrl-C leaves
    running. The same request again picks up the same job, and so does one that was interrupted: what was answered isn't
    asked again. With --stage it runs on AWS Batch and scores the weights, on tasks that lm-eval has.
    """
    _refuse_others(LM_EVAL if tasks is None else SCORECARD, tasks)
    if tasks is None:
        from .scorecard import draw_up

        draw_up(
            model,
            only,
            count=count,
            seed=seed,
            in_flight=max_in_flight,
            out=out,
            home=home,
            stage=stage,
            as_json=as_json,
        )
        return
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


def _refuse_others(names: tuple[str, ...], tasks: str | None) -> None:
    """Raises UsageError where one of the options that only the other kind of evaluation honours was given."""
    given = [name for name in names if was_told(name)]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        raise click.UsageError(
            f"{option} goes with --tasks"
            if tasks is None
            else f"{option} is of the scorecard; leave out --tasks"
        )


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
