"""Options that several verbs take, and the ports they open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import settings

if TYPE_CHECKING:
    from ..ports import Services

F = TypeVar("F", bound=Callable[..., Any])


def home_option(function: F) -> F:
    """`home`: an absolute Path."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        callback=lambda _context, _option, value: value.expanduser().absolute() if value else settings.home(),
        help="Home directory of the stack  [default: $GENAI_STACK_HOME or ~/.genai-stack]",
    )(function)


def json_option(function: F) -> F:
    """`as_json`: whether a machine reads along."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def services(home: Path) -> Services:
    """The local ports of `home`, configured by ./stack.toml where there is one."""
    from .. import wiring
    from ..config import find_config, load_config

    return wiring.local_services(home, load_config(find_config()))
