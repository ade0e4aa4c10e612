"""`genai-stack batch`: a model over a file of requests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from . import show
from .options import bottom, computing, home_option, json_option, stage_option
from .train import follow

FILE = click.Path(path_type=Path, exists=True, dir_okay=False, readable=True)


@click.command()
@click.argument("file", type=FILE)
@click.option("--model", required=True, help="Name of the model to ask; each request in FILE says it too.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Copy the answers to this file."
)
@click.option(
    "--max-in-flight", type=click.IntRange(1, 1024), help="Requests that share the batch.  [default: 64]"
)
@click.option(
    "--engine", type=click.Choice(["local", "vllm"]), help="What computes.  [default: local; vllm on a stage]"
)
@click.option("--detach", is_flag=True, help="Print the job's id and leave it to itself.")
@home_option
@stage_option
@json_option
def batch(
    file: Path,
    model: str,
    output: Path | None,
    detach: bool,
    home: Path,
    stage: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run a model over FILE: requests in OpenAI's batch format, one JSON object a line.

    FILE is checked whole first. The answers come in its order, as OpenAI's output file; lines that fail are in
    errors.jsonl beside it, and fail no other. Ctrl-C leaves the job running. The same request again picks up the same
    job.

    With --stage the job runs vLLM on AWS Batch; FILE is uploaded for it, and the answers are fetched.
    """
    if detach and output:
        raise click.UsageError("--output is written at the end; it can't go with --detach")
    training, place = bottom(home, stage)
    job = training.batch(model, file, **computing(stage), **_words(stage), **options)
    if detach:
        show.document(job.refresh()) if as_json else click.echo(job.id)
        return
    follow(job, place.option, quiet=as_json)
    if output:
        shutil.copyfile(job.output(), output)
    answers, counts = output or job.output(), job.counts()
    if as_json:
        show.document({"job": job.refresh(), **counts, "output": str(answers), "errors": str(job.errors())})
        return
    if counts["failed"]:
        click.echo(f"{counts['failed']} of {counts['total']} lines failed: {job.errors()}", err=True)
    click.echo(str(answers))


def _words(stage: str | None) -> dict[str, Any]:
    """What ./stack.toml has the task routes say to a model, where that isn't what is shipped."""
    import msgspec

    from ..config import find_config, load_config
    from ..task_prompts.overrides import TasksConfig

    if stage or (tasks := load_config(find_config()).tasks) == TasksConfig():
        return {}
    return {"tasks": msgspec.to_builtins(tasks)}
