"""`genai-stack doctor`: whether this machine, or an account, is fit for what the configuration asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import show
from .options import home_option, json_option, refuse_home, stage_option

if TYPE_CHECKING:
    from ..findings import Finding
    from ..pricing.book import PriceBook

TEMPLATES = "cdk.out"
_STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A stack.toml.  [default: ./stack.toml, if there]",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="That `up` is to listen on."
)
@home_option
@stage_option
@json_option
@click.pass_context
def doctor(
    context: click.Context, config: Path | None, port: int, home: Path, stage: str | None, as_json: bool
) -> None:
    """Look whether all is well, before and after deploying; say what to do where it isn't.

    Without --stage: this machine. With it: the AWS account and region at hand. Nothing is changed. Ends with exit code
    1 when something fails.
    """
    found: list[Finding] = []
    for one in _account(stage, config) if stage else _machine(home, config, port):
        found.append(one)
        if not as_json:
            _tell(one)
    if as_json:
        show.document(found)
    if any(one.state == "fail" for one in found):
        context.exit(1)


def _machine(home: Path, path: Path | None, port: int) -> Iterator[Finding]:
    from ..config import StackConfig, find_config, load_config
    from ..errors import ConfigError
    from ..local.checks import examine

    try:
        config = load_config(path or find_config())
    except ConfigError as error:
        yield _misconfigured(error)
        config = StackConfig()
    yield from examine(home, config, port)


def _account(stage: str, path: Path | None) -> Iterator[Finding]:
    from ..aws.checks.stage import caller, examine
    from ..config import find_config, load_config
    from ..errors import ConfigError
    from ..findings import Finding
    from ..pricing import book, hourly

    refuse_home()
    who = caller()
    yield who.finding
    if not who.account:
        return
    try:
        config = load_config(path or find_config(), region=who.region)
    except ConfigError as error:
        yield _misconfigured(error)
        yield Finding(
            "stage", "warn", "nobody looked further: what is asked for isn't known", "mend stack.toml first"
        )
        return
    yield from examine(stage, who, config)
    prices = book.load()
    yield from hourly.examine(config, prices, who.region)
    yield from _idle(stage, prices)


def _idle(stage: str, prices: PriceBook) -> Iterator[Finding]:
    """All of the stage, where its templates lie here."""
    from ..errors import ConfigError
    from ..findings import Finding
    from ..pricing import estimate, load, templates

    try:
        found = estimate.estimate(templates.read(Path(TEMPLATES), stage), prices, load.Load())
    except ConfigError as error:
        yield Finding("idle price", "ok", "not told of the rest of an idle stage", error.message)
        return
    unpriced = sum(one.state == "unpriced" for one in found.charges)
    told = f"{found.idle:,.2f} USD a month for all that the templates in {TEMPLATES} make"
    if unpriced:
        yield Finding(
            "idle price", "warn", f"{told}, but for {unpriced} without a price", "see: genai-stack cost"
        )
    else:
        yield Finding("idle price", "ok", told)


def _misconfigured(error: Exception) -> Finding:
    from ..findings import Finding

    return Finding("stack.toml", "fail", str(error), "mend that line")


def _tell(one: Finding) -> None:
    state = click.style(f"{one.state:<5}", fg=_STYLES[one.state])
    click.echo(f"{state} {one.topic:<14} {one.found}")
    if one.next:
        click.echo(f"{'':<20} -> {one.next}")
