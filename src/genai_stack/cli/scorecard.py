"""The scorecard of the built-in world on the screen and in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import show
from .asking_bars import ask
from .options import top

if TYPE_CHECKING:
    from ..scorecard.asking import Answered
    from ..scorecard.scores import Score
    from ..scorecard.world import Card

LISTED = 10
"""Failed requests that are told of."""


def draw_up(
    model: str,
    families: Sequence[str],
    *,
    count: int | None,
    seed: int | None,
    in_flight: int | None,
    out: Path | None,
    home: Path,
    stage: str | None,
    as_json: bool,
) -> None:
    """Asks `model` the held-out questions of the families, shows its scores, and writes every answer to `out`."""
    from ..scorecard import world

    unknown = [family for family in families if family not in world.MARKS]
    if unknown:
        raise click.BadParameter(
            f"{unknown[0]!r} is no family; choose from {', '.join(world.MARKS)}", param_hint="--only"
        )
    if out and not out.absolute().parent.is_dir():
        raise click.BadParameter(f"{out.parent} isn't there; make it first", param_hint="--out")
    count = world.COUNT if count is None else count
    seed = world.SEED if seed is None else seed
    chosen = [family for family in world.MARKS if family in families] or list(world.MARKS)
    asked = world.series(model, chosen, count=count, seed=seed)

    began = time.monotonic()
    with top(home, stage) as stack:
        answers = ask(stack, asked, quiet=as_json, in_flight=in_flight)
    card = world.card(model, asked, answers, count=count, seed=seed, seconds=time.monotonic() - began)
    if out:
        _write(out, card, answers)
    show.document(card) if as_json else _show(card)
    list_failures(answers)


def _show(card: Card) -> None:
    lines = [(each.name, *scored(each), *_aimed(each)) for each in card.scores]
    if card.mapping_rises is not None:
        lines.append(("mapping rises from 0 to 4 examples", "", "", "", "", _yes(card.mapping_rises)))
    show.rows(("questions", "score", "95 % interval", "n", "target", "reached"), lines, empty="no scores")
    if sys.stdout.isatty():
        click.echo(f"{card.model}, seed {card.seed}, {card.seconds:.0f} s")


def scored(score: Score) -> tuple[str, str, str]:
    """The share, its interval and the number of answers, in words."""
    return f"{score.score:.1%}", f"{score.low:.1%} to {score.high:.1%}", str(score.n)


def _aimed(score: Score) -> tuple[str, str]:
    return ("-", "-") if score.target is None else (f"{score.target:.0%}", _yes(bool(score.reached)))


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"


def list_failures(answers: Sequence[Answered]) -> None:
    """Says on stderr what failed, each kind of failure once."""
    failed = [answer for answer in answers if answer.error is not None]
    kinds: dict[tuple[str, str | None], int] = {}
    for answer in failed:
        kind = answer.series, answer.error
        kinds[kind] = kinds.get(kind, 0) + 1
    if failed:
        click.echo(f"{len(failed)} of {len(answers)} requests failed, and count as wrong:", err=True)
    for (series, error), times in list(kinds.items())[:LISTED]:
        click.echo(f"  {series} ({times}): {error}", err=True)
    if len(kinds) > LISTED:
        click.echo(f"  … and {len(kinds) - LISTED} other failures", err=True)


def _write(file: Path, card: Card, answers: Sequence[Answered]) -> None:
    import msgspec

    from ..errors import GenAIStackError

    whole = msgspec.json.encode({"card": card, "answers": answers})
    try:
        file.write_bytes(msgspec.json.format(whole, indent=1) + b"\n")
    except OSError as error:
        raise GenAIStackError(f"can't write {file}: {error.strerror}; give --out another path") from error
