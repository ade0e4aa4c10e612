"""`genai-stack usage`: what was used, by whom, of which model, and what it cost."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import show
from .options import home_option, json_option, services, stage_option

if TYPE_CHECKING:
    from ..service.accounts import Column, UsageRow

_BAR = 24


@click.command()
@click.option("--from", "first", metavar="DAY", help="First day, UTC  [default: the first of this month]")
@click.option("--to", "last", metavar="DAY", help="Last day, included  [default: today]")
@click.option(
    "--by",
    default="day,model,key",
    show_default=True,
    help="What a line is for: some of day, tenant, key, model.",
)
@click.option("--tenant", help="This tenant's only.")
@home_option
@stage_option
@json_option
def usage(
    first: str | None,
    last: str | None,
    by: str,
    tenant: str | None,
    home: Path,
    stage: str | None,
    as_json: bool,
) -> None:
    """Show what requests, batches and fine-tunes used, and what that cost.

    Prices are those of stack.toml's [[price]] at the time of each request.
    """
    from ..service import accounts
    from ..service.keys import ApiKeys
    from ..service.usage_routes import UsageReport, columns

    records = services(home, stage).records
    begin, end = accounts.span(first, last, time.time())
    asked = columns(by)
    whose = [tenant] if tenant is not None else accounts.tenants(records)
    rows = accounts.usage(records, whose, begin, end, asked)
    total = accounts.total(rows)
    if as_json:
        show.document(UsageReport(begin, end, rows, total))
        return
    names = {key.id: key.name for key in ApiKeys(records).list()}
    _table(asked, rows, total, names)


def _table(by: Sequence[Column], rows: list[UsageRow], total: UsageRow, names: dict[str, str]) -> None:
    lines = [[*(_named(column, row, names) for column in by), *_figures(row)] for row in rows]
    if len(lines) > 1:
        lines.append(["total", *[""] * (len(by) - 1), *_figures(total)])
    columns = [*by, "requests", "failed", "prompt", "cached", "answer", "USD"]
    if sys.stdout.isatty():
        columns.append("")
        weights = [
            row.nano_usd if total.nano_usd else row.prompt_tokens + row.completion_tokens for row in rows
        ]
        most = max(weights, default=0) or 1
        for line, weight in zip(lines, [*weights, 0], strict=False):
            line.append("█" * -(-weight * _BAR // most))
    show.rows(columns, lines, empty="nothing was used in that time")


def _named(column: Column, row: UsageRow, names: dict[str, str]) -> str:
    value: str = getattr(row, column)
    return names.get(value, value) if column == "key" else value


def _figures(row: UsageRow) -> list[str]:
    counts = (row.requests, row.failed, row.prompt_tokens, row.cached_tokens, row.completion_tokens)
    return [*(f"{count:,}" for count in counts), f"{row.nano_usd / 1e9:,.6f}"]
