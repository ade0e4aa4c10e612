"""`genai-stack adapt`: how many examples a model needs for a task that is new to it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import GenAIStackError
from . import show
from .asking_bars import ask
from .options import home_option, json_option
from .scorecard import list_failures, scored
from .train import follow

if TYPE_CHECKING:
    from ..client.stack import GenAIStack
    from ..ports import Job
    from ..scorecard.adapting import Point
    from ..scorecard.asking import Answered


@click.command()
@click.argument("model")
@click.option("--count", type=click.IntRange(1), default=200, show_default=True, help="Held-out questions.")
@click.option(
    "--shots",
    type=click.IntRange(0, 32),
    multiple=True,
    help="Examples in the prompt; again for more.  [default: 0, 1, 2, 4 and 8]",
)
@click.option(
    "--examples",
    type=click.IntRange(1, 100_000),
    multiple=True,
    help="Examples an adapter is trained on; again for more.  [default: 10, 100 and 1000]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("adapting"),
    show_default=True,
    help="The directory for the picture and the table.",
)
@home_option
@json_option
def adapt(
    model: str,
    count: int,
    shots: tuple[int, ...],
    examples: tuple[int, ...],
    out: Path,
    home: Path,
    as_json: bool,
) -> None:
    """Measure how MODEL takes to a new task by the number of examples: in the prompt, and by LoRA.

    The task is a support desk's: every letter gets an answer in a house form that no prompt explains. The same held-out
    letters are asked each time, and an answer is right only if it equals the expected one. Adapters are trained, hosted
    and asked on the stack that runs in this home, or on one started for it, and stay there: the same command again
    doesn't train them anew.

    Writes adapting.png, adapting.csv and, with what was answered, adapting.json. Where a training fails, of what was
    asked before it.
    """
    from ..client import GenAIStack
    from ..scorecard import adapting

    if find_spec("matplotlib") is None:
        raise GenAIStackError("the picture needs matplotlib: pip install 'genai-stack[train]'")
    out.mkdir(parents=True, exist_ok=True)
    with GenAIStack.local(home) as stack:
        points, answers = _shown(stack, model, sorted(set(shots)) or adapting.SHOTS, count, as_json)
        try:
            for number in sorted(set(examples)) or adapting.EXAMPLES:
                point, said = _trained(stack, model, number, count, as_json)
                points.append(point)
                answers += said
        except (GenAIStackError, click.ClickException):
            if any(answer.error is None for answer in answers):
                _keep(out, model, count, points, answers, as_json)
            raise
    _keep(out, model, count, points, answers, as_json)


def _keep(
    out: Path, model: str, count: int, points: list[Point], answers: list[Answered], as_json: bool
) -> None:
    """On the screen and in files."""
    from .adapting_files import write

    files = write(out, model, points, answers)
    if as_json:
        show.document(
            {"model": model, "count": count, "points": points, "files": [str(file) for file in files]}
        )
        return
    header = ("way", "examples", "score", "95 % interval", "n", "steps", "seconds to train")
    show.rows(header, [_row(point) for point in points], empty="no scores")
    for file in files:
        click.echo(str(file), err=not sys.stdout.isatty())


def _shown(
    stack: GenAIStack, model: str, shots: Sequence[int], count: int, quiet: bool
) -> tuple[list[Point], list[Answered]]:
    """With examples in the prompt."""
    from ..scorecard import adapting
    from ..scorecard.scores import of_series, score

    series = [adapting.in_prompt(model, number, count) for number in shots]
    answers = ask(stack, series, quiet=quiet)
    list_failures(answers)
    points = [
        adapting.Point("prompt", number, model, score(each.name, of_series(answers, each.name, "exact")))
        for number, each in zip(shots, series, strict=True)
    ]
    return points, answers


def _trained(
    stack: GenAIStack, model: str, number: int, count: int, quiet: bool
) -> tuple[Point, list[Answered]]:
    """With an adapter on `number` examples, and none in the prompt."""
    from ..scorecard import adapting
    from ..scorecard.scores import score

    name = f"LoRA on {number}"
    job = stack.training.fine_tune(
        adapting.examples(number),
        model,
        suffix=f"desk-{number}",
        seed=adapting.SEED,
        **adapting.hyperparameters(number),
    )
    follow(job, quiet=quiet or not sys.stderr.isatty())
    tuned = str(job.model)
    answers = ask(stack, [replace(adapting.in_prompt(tuned, 0, count), name=name)], quiet=quiet)
    list_failures(answers)
    marks = [answer.right["exact"] for answer in answers]
    steps = max((line["step"] for line in job.metrics() if "step" in line), default=None)
    return adapting.Point("lora", number, tuned, score(name, marks), _seconds(job.refresh()), steps), answers


def _seconds(job: Job) -> float | None:
    """That it worked, whenever that was: a job that is found again took as long as it did."""
    if job.started is None or job.finished is None:
        return None
    return round(job.finished - job.started - job.idle, 1)


def _row(point: Point) -> tuple[str, ...]:
    return (
        {"prompt": "in the prompt", "lora": "LoRA"}[point.way],
        str(point.examples),
        *scored(point.score),
        "-" if point.steps is None else str(point.steps),
        "-" if point.seconds is None else f"{point.seconds:.0f}",
    )
