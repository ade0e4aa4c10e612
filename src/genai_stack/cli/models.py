"""`genai-stack models`: what answers, to which name, and since when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import click

from ..hosted import Task
from . import show
from .options import home_option, json_option, middle, services, stage_option

if TYPE_CHECKING:
    from ..client.hosting import AsyncHosting
    from ..ports import ModelVersion

T = TypeVar("T")
task_option = click.option("--task", type=click.Choice(get_args(Task)), default="chat", show_default=True)


@click.group()
def models() -> None:
    """Models that a request may name, and their versions.

    A name answers from its live version. `import` and `register` add one, and so does a training job; `promote` makes
    it live, `rollback` takes that back. NAME@VERSION means one version.
    """


@models.command("list")
@home_option
@stage_option
@json_option
def list_models(home: Path, stage: str | None, as_json: bool) -> None:
    """List every model: configured ones first, then what jobs made."""
    found = services(home, stage).registry.list()
    if as_json:
        show.document(found)
        return
    lines = [
        (m.name, str(m.version), m.task, m.base or "-", show.moment(m.created) or "configured", m.source)
        for m in found
    ]
    show.rows(("name", "version", "task", "base", "created", "source"), lines, empty="no models")


@models.command("show")
@click.argument("model")
@home_option
@stage_option
@json_option
def show_model(model: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Show MODEL (a name, or NAME@VERSION): where it comes from, where it is live, and its other versions."""
    from ..registry import pick

    ports = services(home, stage)
    version = pick(ports.registry, model)
    if as_json:
        show.document(version)
        return
    versions, live = ports.registry.versions(version.name), ports.registry.get(version.name)
    show.fields(
        [
            ("name", version.name),
            ("version", version.version),
            ("state", _state(version, live)),
            ("task", version.task),
            ("base", version.base),
            ("source", version.source),
            ("origin", version.origin),
            ("digest", version.digest),
            ("parent", version.parent),
            ("job", version.job),
            ("data", version.data),
            ("created", show.moment(version.created)),
            ("where", f"stage {stage}" if stage else str(home)),
        ]
    )
    if len(versions) > 1:
        click.echo()
        lines = [(str(v.version), _state(v, live), show.moment(v.created) or "-", v.source) for v in versions]
        show.rows(("version", "state", "created", "source"), lines, empty="")


@models.command("import")
@click.argument("source")
@click.option("--name", help="Register it under this name.  [default: the source's own]")
@task_option
@home_option
@stage_option
@json_option
def import_model(
    source: str, name: str | None, task: Task, home: Path, stage: str | None, as_json: bool
) -> None:
    """Bring the files of SOURCE (hf://org/name[@revision], s3://bucket/prefix, a directory) and register them.

    Safetensors only. Files are kept under the digest of what they are; run it again to go on where it broke off.
    """
    from ..client.progress import transfer

    with transfer(source, show=not as_json) as told:
        made = _done(home, stage, lambda hosting: hosting.import_(source, name, task=task, told=told))
    _tell(made, as_json, home, stage)


@models.command("register")
@click.argument("name")
@click.argument("source")
@click.option("--base", help="The model that SOURCE is an adapter of, or one version of it.")
@task_option
@home_option
@stage_option
@json_option
def register_model(
    name: str, source: str, base: str | None, task: Task, home: Path, stage: str | None, as_json: bool
) -> None:
    """Make what lies at SOURCE a version of NAME, and leave it there."""
    made = _done(home, stage, lambda hosting: hosting.register(name, source, task=task, base=base))
    _tell(made, as_json, home, stage)


@models.command("promote")
@click.argument("model")
@home_option
@stage_option
@json_option
def promote_model(model: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Make MODEL (NAME@VERSION) what its name answers with.

    It passes the gates of stack.toml and comes up first; requests under way end with the version they began with.
    """
    _tell(_done(home, stage, lambda hosting: hosting.promote(model)), as_json, home, stage)


@models.command("rollback")
@click.argument("name")
@home_option
@stage_option
@json_option
def roll_back_model(name: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Make the version of NAME live again that was so before the live one."""
    _tell(_done(home, stage, lambda hosting: hosting.rollback(name)), as_json, home, stage)


@models.command("deploy")
@click.argument("model")
@home_option
@stage_option
def deploy_model(model: str, home: Path, stage: str | None) -> None:
    """Bring MODEL up, and wait until it answers. On this machine it comes up by itself with its first request, in
    `genai-stack up`; so here this shows that it can."""
    _done(home, stage, lambda hosting: hosting.deploy(model))
    click.echo(f"{model} {'is up' if stage else 'comes up'}")


@models.command("delete")
@click.argument("model")
@home_option
@stage_option
def delete_model(model: str, home: Path, stage: str | None) -> None:
    """Forget MODEL, a name or NAME@VERSION; its files stay."""
    _done(home, stage, lambda hosting: hosting.delete(model))
    click.echo(f"{model} is deleted")


def _done(home: Path, stage: str | None, verb: Callable[[AsyncHosting], Awaitable[T]]) -> T:
    ports, hosting = middle(home, stage)

    async def run() -> T:
        try:
            return await verb(hosting)
        finally:
            await ports.models.close()

    return asyncio.run(run())


def _tell(version: ModelVersion, as_json: bool, home: Path, stage: str | None) -> None:
    if as_json:
        show.document(version)
        return
    live = services(home, stage).registry.get(version.name)
    if live.version == version.version:
        click.echo(f"{version.reference} is live")
        return
    option = f" --stage {stage}" if stage else ""
    click.echo(
        f"{version.reference} is registered; make it live: genai-stack models promote {version.reference}{option}"
    )


def _state(version: ModelVersion, live: ModelVersion) -> str:
    if version.version == live.version:
        return "live"
    return version.approval if version.version else "configured"
