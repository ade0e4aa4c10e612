"""`genai-stack destroy`: a stage goes from the account, and what it keeps is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from . import show
from .options import json_option, stage_option

if TYPE_CHECKING:
    from ..aws.removal.kept import Kept
    from ..aws.removal.stacks import Tell
    from ..aws.removal.stage import Plan


@click.command()
@stage_option
@click.option(
    "--with-data", is_flag=True, help="Remove data too: buckets with all versions, records, the key over them."
)
@click.option("--yes", is_flag=True, help="Don't ask for the stage's name.")
@json_option
def destroy(stage: str | None, with_data: bool, yes: bool, as_json: bool) -> None:
    """Remove a stage from the AWS account: the API, hosted models, training.

    Ends its jobs, takes off models and adapters, then deletes the stacks. Says what it keeps and how to remove that.
    May be run again at any time, also after it failed.
    """
    from .. import wiring
    from ..aws.removal.stage import StageRemoval

    if stage is None:
        raise click.UsageError("name the stage: --stage dev")
    removal = StageRemoval(stage, wiring.aws_jobs)
    plan = removal.plan()
    if not with_data:
        removal.refuse_data()
    going = bool(plan.stacks) or (with_data and any(one.ours for one in plan.keeps))
    if not as_json:
        _tell_plan(plan, with_data)
    removed: list[str] = []
    if going:
        if not yes:
            _confirm(stage)
        with _progress(quiet=as_json) as tell:
            removed = removal.remove(tell, with_data=with_data)
    kept = removal.kept()
    if as_json:
        show.document(
            {"stage": stage, "account": plan.account, "region": plan.region, "removed": removed, "kept": kept}
        )
    else:
        _tell_end(stage, removed, kept)


def _tell_plan(plan: Plan, with_data: bool) -> None:
    click.echo(f"stage {plan.stage} in account {plan.account}, {plan.region}")
    for stack in plan.stacks:
        click.echo(f"  deletes   stack {stack}")
    for job in plan.jobs:
        click.echo(f"  ends      job {job}")
    for model in plan.models:
        click.echo(f"  takes off {model} and its adapters")
    for bucket in plan.emptied:
        click.echo(f"  deletes   bucket {bucket}{' with all that it holds' if with_data else ''}")
    for table in plan.tables:
        click.echo(f"  deletes   table {table}{' with all its records' if with_data else ''}")
    for one in plan.keeps:
        word = "deletes  " if with_data and one.ours else "keeps    "
        click.echo(f"  {word} {one.kind} {one.name} ({one.note})")
    if plan.nothing:
        click.echo("  there is nothing of it")


def _confirm(stage: str) -> None:
    given = click.prompt(f"Type {stage} to go on", default="", show_default=False, err=True)
    if given != stage:
        raise click.ClickException(f"that isn't {stage!r}; nothing was touched")


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Tell]:
    """Bars on a terminal; elsewhere a line whenever a step has got on."""
    if quiet:
        yield lambda step, done, total: None
        return
    if not sys.stderr.isatty():
        said: dict[str, tuple[int, int]] = {}

        def line(step: str, done: int, total: int) -> None:
            if said.get(step) != (done, total):
                said[step] = done, total
                click.echo(f"{step}: {done} of {total}", err=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks = {}

        def bar(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield bar


def _tell_end(stage: str, removed: list[str], kept: list[Kept]) -> None:
    for name in removed:
        click.echo(f"removed {name}")
    if not kept:
        click.echo(f"nothing of stage {stage} is left")
        return
    for one in kept:
        click.echo(f"kept {one.kind} {one.name}: {one.note}")
        for command in one.commands:
            click.echo(f"    {command}")
    if any(one.ours for one in kept):
        click.echo(f"or all of the stage's own: genai-stack destroy --stage {stage} --with-data")
