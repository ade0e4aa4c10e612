"""`genai-stack cost`: what the synthesised templates cost a month, idle and at a load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import show
from .options import json_option, stage_option

if TYPE_CHECKING:
    from ..pricing.estimate import Charge, Estimate


@click.command()
@click.option(
    "--templates",
    type=click.Path(path_type=Path, file_okay=False),
    default="cdk.out",
    show_default=True,
    help="Where `cdk synth` has put them.",
)
@click.option(
    "--load",
    "settings",
    multiple=True,
    metavar="NAME=NUMBER",
    help="What is asked, such as requests-per-day=1000; may come more than once. A wrong one lists all there are.",
)
@click.option(
    "--prices",
    "own",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Prices that go before the list prices, in the same form.",
)
@stage_option
@json_option
def cost(
    templates: Path, settings: tuple[str, ...], own: Path | None, stage: str | None, as_json: bool
) -> None:
    """Price the templates that `cdk synth` wrote: a month without requests, and a month at a load.

    Asks no account. Every resource is priced, free, or told of. With --stage the templates must be that
    stage's.
    """
    from ..pricing import book, estimate, load
    from ..pricing.templates import read

    asked = load.parse(settings)
    found = estimate.estimate(read(templates, stage), book.load(own), asked)
    if as_json:
        show.document(found)
    else:
        _tell(found, loaded=bool(settings))


def _tell(found: Estimate, *, loaded: bool) -> None:
    columns = ["stack", "resource", "item", "idle $/month"]
    if loaded:
        columns += ["at the load"]
    columns += ["basis"]
    priced = [one for one in found.charges if one.state == "priced" and (one.idle or (loaded and one.load))]
    lines = [_line(_cells(one), one.idle, one.load, one.basis, loaded) for one in _merged(priced)]
    lines.append(_line(["total", "", ""], found.idle, found.load, "of what is priced", loaded))
    show.rows(columns, lines, empty="")
    if found.usd_per_million_tokens is not None:
        click.echo(f"{found.usd_per_million_tokens:,.2f} USD for a million answered tokens at this load")
    _say("By use alone, none of it at this load" if loaded else "By use alone", _by_use(found.charges, loaded))
    _say("Not in these sums", _listed(one for one in found.charges if one.uncounted))
    for one in (one for one in found.charges if one.state == "unpriced"):
        click.echo(f"UNPRICED {one.stack} {one.resource} ({one.kind}): {one.basis}")
    free = Counter(one.kind for one in found.charges if one.state == "free")
    _say("Free", ", ".join(f"{count} {kind}" for kind, count in sorted(free.items())))
    click.echo(f"US dollars; {found.prices}.")


def _cells(charge: Charge) -> list[str]:
    return [charge.stack, charge.kind.removeprefix("AWS::"), charge.item]


def _line(cells: list[str], idle: float | None, load: float | None, basis: str, loaded: bool) -> list[str]:
    amounts = [f"{idle or 0:,.2f}", *([f"{load or 0:,.2f}"] if loaded else [])]
    return [*cells, *amounts, basis]


def _merged(charges: list[Charge]) -> list[Charge]:
    """Like ones of a stack in one line; each keeps its basis."""
    import msgspec

    kept: dict[tuple[str, str, str, str], list[Charge]] = {}
    for one in charges:
        kept.setdefault((one.stack, one.kind, one.item, one.basis), []).append(one)
    return [
        msgspec.structs.replace(
            same[0],
            idle=sum(one.idle or 0 for one in same),
            load=sum(one.load or 0 for one in same),
            basis=f"{len(same)} x {same[0].basis}" if len(same) > 1 else same[0].basis,
        )
        for same in kept.values()
    ]


def _by_use(charges: list[Charge], loaded: bool) -> str:
    silent = [one for one in charges if one.state == "priced" and not one.idle and not (loaded and one.load)]
    told = dict.fromkeys(f"{_unit(one)} {one.item}" for one in silent)
    return ", ".join(told)


def _unit(charge: Charge) -> str:
    usd = (charge.unit_usd or 0.0) * (1e6 if charge.item.endswith("(million)") else 1)
    return f"{usd:.10f}".rstrip("0").rstrip(".")


def _listed(charges: Iterable[Charge]) -> str:
    counted = Counter(f"{one.kind}: {one.uncounted}" for one in charges)
    return "; ".join(f"{told} ({count})" if count > 1 else told for told, count in counted.items())


def _say(title: str, text: str) -> None:
    if text:
        click.echo(f"{title}: {text}.")
