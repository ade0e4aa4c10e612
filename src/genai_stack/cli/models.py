"""`genai-stack models`: what answers, and to which name."""

from __future__ import annotations

from pathlib import Path

import click

from . import show
from .options import home_option, json_option, services


@click.group()
def models() -> None:
    """Models that a request may name."""


@models.command("list")
@home_option
@json_option
def list_models(home: Path, as_json: bool) -> None:
    """List every model: configured ones first, then what jobs made."""
    found = services(home).registry.list()
    if as_json:
        show.document(found)
        return
    lines = [(m.name, m.task, m.base or "-", show.moment(m.created) or "configured", m.source) for m in found]
    show.rows(("name", "task", "base", "created", "source"), lines, empty="no models")


@models.command("show")
@click.argument("name")
@home_option
@json_option
def show_model(name: str, home: Path, as_json: bool) -> None:
    """Show one model."""
    model = services(home).registry.get(name)
    if as_json:
        show.document(model)
        return
    show.fields(
        [
            ("name", model.name),
            ("task", model.task),
            ("base", model.base),
            ("source", model.source),
            ("job", model.job),
            ("created", show.moment(model.created)),
        ]
    )


@models.command("delete")
@click.argument("name")
@home_option
def delete_model(name: str, home: Path) -> None:
    """Forget a model that a job made; its job keeps the files."""
    import asyncio

    from ..client.hosting import AsyncHosting

    ports = services(home)

    async def delete() -> None:
        try:
            await AsyncHosting(ports).delete(name)
        finally:
            await ports.models.close()

    asyncio.run(delete())
    click.echo(f"{name} is deleted")
