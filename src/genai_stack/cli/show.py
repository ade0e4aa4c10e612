"""What a listing looks like: aligned columns for a person, one JSON document for a machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click


def document(value: Any) -> None:
    """One JSON document; structs become objects."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def rows(columns: Sequence[str], lines: Iterable[Sequence[str]], *, empty: str) -> None:
    """A table; plain, tab-free columns where nobody looks. `empty` is said on stderr when there is no line."""
    table = [list(line) for line in lines]
    if not table:
        click.echo(empty, err=True)
        return
    if not sys.stdout.isatty():
        widths = [max(len(cell) for cell in column) for column in zip(columns, *table, strict=True)]
        for line in [list(columns), *table]:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            click.echo("  ".join(cells).rstrip())
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for line in table:
        drawn.add_row(*(Text(cell, overflow="fold") for cell in line))
    Console().print(drawn)


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """One thing's properties, a line each; those that are None are left out."""
    known = [(name, str(value)) for name, value in pairs if value is not None]
    width = max(len(name) for name, _ in known)
    for name, value in known:
        click.echo(f"{name:<{width}}  {value}")


def moment(seconds: float | None) -> str | None:
    """A Unix time as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds)) if seconds else None
