"""`genai-stack keys`: who may call the API, for what, and how much."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import settings
from . import show
from .options import home_option, json_option, services, stage_option

if TYPE_CHECKING:
    from ..service.keys import ApiKeys
    from ..service.principal import KeyScope, Limits

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COUNT = click.IntRange(1, 10**12)


OWN = "no keys but the stack's own; see: genai-stack keys show"


@click.group()
def keys() -> None:
    """Keys that the API accepts."""


def _keys(home: Path, stage: str | None) -> ApiKeys:
    from ..service.keys import ApiKeys

    return ApiKeys(services(home, stage).records)


def _seconds(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    if not (found := re.fullmatch(r"(\d{1,6})([smhd])", value)):
        raise click.BadParameter("a time is a number and s, m, h or d, such as 90d")
    return float(int(found[1]) * _UNITS[found[2]])


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
@click.option("--tenant", help="Who owns what is made with it; keys of one tenant share their files and jobs.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(("inference", "files", "admin")),
    help="What it is for; may come more than once  [default: inference and files]",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A model it may use, a * at the end for any rest; may come more than once  [default: every one]",
)
@click.option(
    "--expires", "lasts", callback=_seconds, metavar="TIME", help="When it ends: 12h, 90d  [default: never]"
)
@click.option("--requests-per-minute", type=_COUNT)
@click.option("--tokens-per-minute", type=_COUNT)
@click.option("--concurrent", type=_COUNT, help="Requests at the same time.")
@click.option("--budget", type=click.FloatRange(0, 10**6), help="US dollars a calendar month (UTC).")
@home_option
@stage_option
@json_option
def create_key(
    name: str,
    tenant: str | None,
    scopes: tuple[KeyScope, ...],
    models: tuple[str, ...],
    lasts: float | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    concurrent: int | None,
    budget: float | None,
    home: Path,
    stage: str | None,
    as_json: bool,
) -> None:
    """Make another key, for NAME. It is shown this once.

    With --stage for the API of that stage, where the first key is made so: by whoever may write to its records.
    """
    from ..service.principal import USUAL, Limits

    limits = Limits(requests_per_minute, tokens_per_minute, concurrent, budget)
    id, key = _keys(home, stage).create(
        name, tenant=tenant, scopes=scopes or USUAL, models=models, lasts=lasts, limits=limits
    )
    _show_once(id, name, key, stage, as_json)


@keys.command("rotate")
@click.argument("id")
@click.option(
    "--overlap",
    callback=_seconds,
    metavar="TIME",
    help="How long the one before still counts: 10m, 1d  [default: not]",
)
@home_option
@stage_option
@json_option
def rotate_key(id: str, overlap: float | None, home: Path, stage: str | None, as_json: bool) -> None:
    """Another secret for a key, by its id; a running stack follows within seconds."""
    _show_once(id, None, _keys(home, stage).rotate(id, overlap=overlap or 0.0), stage, as_json)


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
    lines = [
        (
            key.id,
            key.name,
            key.tenant,
            ",".join(key.scopes),
            ",".join(key.models or ("every one",)),
            _limits(key.limits),
            show.moment(key.created) or "",
            show.moment(key.expires) or "never",
        )
        for key in found
    ]
    columns = ("id", "name", "tenant", "scopes", "models", "limits", "created", "expires")
    none = f"no keys; see: genai-stack keys create NAME --stage {stage}" if stage else OWN
    show.rows(columns, lines, empty=none)


@keys.command("revoke")
@click.argument("id")
@home_option
@stage_option
def revoke_key(id: str, home: Path, stage: str | None) -> None:
    """Revoke a key by its id; a running stack follows within seconds."""
    _keys(home, stage).revoke(id)
    click.echo(f"{id} is revoked")


def _show_once(id: str, name: str | None, key: str, stage: str | None, as_json: bool) -> None:
    if as_json:
        show.document({"id": id, **({"name": name} if name is not None else {}), "key": key})
        return
    click.echo(key)
    there = f" --stage {stage}" if stage else ""
    click.echo(
        f"{id}: shown once, kept as a hash; revoke it with: genai-stack keys revoke {id}{there}", err=True
    )


def _limits(limits: Limits) -> str:
    told = (
        (limits.requests_per_minute, "{} requests/min"),
        (limits.tokens_per_minute, "{} tokens/min"),
        (limits.concurrent, "{} at once"),
        (limits.budget, "${:g}/month"),
    )
    return ", ".join(text.format(value) for value, text in told if value is not None) or "none"
