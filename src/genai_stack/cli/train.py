"""`genai-stack train`: a file of examples becomes a model with a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import GenAIStackError, JobFailed
from . import show
from .options import bottom, home_option, json_option, stage_option, was_told

if TYPE_CHECKING:
    from ..client.jobs import TrainingJob

SPECS = (".toml", ".json")


@click.command()
@click.argument("data")
@click.option("--base", default="builtin", show_default=True, help="Name of the chat model to tune.")
@click.option("--suffix", help="Goes into the new model's name.  [default: the file's name]")
@click.option("--validation", help="Examples whose loss is measured and never learned from.")
@click.option(
    "--method",
    type=click.Choice(["lora", "qlora", "full", "dpo"]),
    help="An adapter, one on a base in 4 bits, a whole model, or an adapter on preference pairs.  [default: lora]",
)
@click.option("--epochs", type=click.FloatRange(min=0, min_open=True), help="Passes over the data.")
@click.option("--max-steps", type=click.IntRange(1), help="Stop after this many steps.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True))
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--lora-rank", type=click.IntRange(1))
@click.option("--seed", type=click.IntRange(0))
@click.option("--detach", is_flag=True, help="Print the job's id and leave it to itself.")
@click.option(
    "--nodes", type=click.IntRange(1), default=1, show_default=True, help="Machines that share the job."
)
@click.option(
    "--on",
    type=click.Choice(["sagemaker"]),
    help="With --stage: a SageMaker training job instead of AWS Batch.",
)
@home_option
@stage_option
@json_option
def train(
    data: str,
    detach: bool,
    nodes: int,
    on: str | None,
    home: Path,
    stage: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train on DATA: examples to tune a model on, or a training spec (.toml, .json).

    Examples are JSONL or Parquet: a file, a directory of them, s3://bucket/path or hf://datasets/org/name[@revision].

    A spec says everything itself, so it takes no other option; its result lands in the job's own directory. Ctrl-C
    leaves the job running: `genai-stack jobs` follows and cancels it. The same request again picks up the same job.

    With --stage the job runs on AWS Batch, and DATA is uploaded for it; --nodes takes several machines there. With
    --on sagemaker it is a SageMaker training job instead, which needs: pip install 'genai-stack[sagemaker]'
    """
    if "://" in data and data.endswith(SPECS):
        raise click.UsageError(f"a spec is read here, before there is a job; fetch {data}, and give its path")
    if on and stage is None:
        raise click.UsageError(f"--on {on} is for a deployed stage; add --stage NAME")
    training, place = bottom(home, stage)
    if data.endswith(SPECS):
        given = [n for n in options if was_told(n)]
        if given:
            raise click.UsageError(
                f"--{given[0].replace('_', '-')} can't be used with a spec; write it into {data}"
            )
        job = training.run(data, nodes=nodes, on=on)
    else:
        base, suffix, validation = options.pop("base"), options.pop("suffix"), options.pop("validation")
        job = training.fine_tune(
            data, base, suffix=suffix, validation=validation, nodes=nodes, on=on, **options
        )
    if not detach:
        follow(job, place.option, quiet=as_json)
    if as_json:
        show.document(job.refresh())
    elif detach:
        click.echo(job.id)
    elif stage:
        click.echo(f"{job.model} is ready in stage {stage}; its files: {job.refresh().output}")
    else:
        click.echo(f"{job.model} is ready; try: genai-stack chat --model {job.model} 'a question'")


def follow(job: TrainingJob, option: str = "", *, quiet: bool) -> None:
    """Waits for the job, with a progress bar unless `quiet`. Ctrl-C, or a look at it that fails, leaves it running, and
    the message says so. `option` is what other verbs need to find it."""
    if not quiet:
        click.echo(f"job {job.id}", err=True)
    try:
        job.wait(progress=not quiet)
    except JobFailed:
        raise
    except (KeyboardInterrupt, GenAIStackError) as error:
        why = f"{error.message}; " if isinstance(error, GenAIStackError) else ""
        raise click.ClickException(
            f"{why}left {job.id} running; see: genai-stack jobs show {job.id}{option}, "
            f"or: genai-stack jobs cancel {job.id}{option}"
        ) from None
