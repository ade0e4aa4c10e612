"""`genai-stack keys`: who may call the API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import settings
from . import show
from .options import home_option, json_option, services, stage_option

if TYPE_CHECKING:
    from ..service.keys import ApiKeys


OWN = "no keys but the stack's own; see: genai-stack keys show"


@click.group()
def keys() -> None:
    """Keys that the API accepts."""


def _keys(home: Path, stage: str | None) -> ApiKeys:
    from ..service.keys import ApiKeys

    return ApiKeys(services(home, stage).records)


@keys.command("show")
@home_option
@json_option
def show_key(home: Path, as_json: bool) -> None:
    """Print the stack's own key: $GENAI_STACK_API_KEY, else the one kept in the home directory."""
    from ..local.home import Home

    key = settings.api_key() or Home(home).key()
    if as_json:
        show.document({"key": key})
    else:
        click.echo(key)


@keys.command("create")
@click.argument("name")
@home_option
@stage_option
@json_option
def create_key(name: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Make another key, for NAME. It is shown this once.

    With --stage for the API of that stage, where the first key is made so: by whoever may write to its records.
    """
    id, key = _keys(home, stage).create(name)
    if as_json:
        show.document({"id": id, "name": name, "key": key})
    else:
        click.echo(key)
        there = f" --stage {stage}" if stage else ""
        click.echo(
            f"{id}: shown once, kept as a hash; revoke it with: genai-stack keys revoke {id}{there}", err=True
        )


@keys.command("list")
@home_option
@stage_option
@json_option
def list_keys(home: Path, stage: str | None, as_json: bool) -> None:
    """List the keys that were created; not the keys themselves, which nothing can show."""
    found = _keys(home, stage).list()
    if as_json:
        show.document(found)
        return
    lines = [(key.id, key.name, show.moment(key.created) or "") for key in found]
    none = f"no keys; see: genai-stack keys create NAME --stage {stage}" if stage else OWN
    show.rows(("id", "name", "created"), lines, empty=none)


@keys.command("revoke")
@click.argument("id")
@home_option
@stage_option
def revoke_key(id: str, home: Path, stage: str | None) -> None:
    """Revoke a key by its id; a running stack follows within seconds."""
    _keys(home, stage).revoke(id)
    click.echo(f"{id} is revoked")
