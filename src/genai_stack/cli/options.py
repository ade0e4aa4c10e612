"""Options that several verbs take, and the ports they open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import names, settings
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..client.hosting import AsyncHosting
    from ..client.places import Place
    from ..client.stack import GenAIStack
    from ..client.training import Training
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


def stage_option(function: F) -> F:
    """`stage`: the name of a deployed stage, None for this machine."""
    return click.option(
        "--stage", callback=_stage, help="Work on this stage in the AWS account, and not on this machine."
    )(function)


def _stage(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    try:
        return value if value is None else names.checked_stage(value)
    except ConfigError as error:
        raise click.BadParameter(error.message) from None


def json_option(function: F) -> F:
    """`as_json`: whether a machine reads along."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(function)


def services(home: Path, stage: str | None = None) -> Services:
    """The ports of `stage`, else the local ones of `home`, configured by ./stack.toml where there is one."""
    from .. import wiring
    from ..config import find_config, load_config

    if stage is not None:
        refuse_home()
        return wiring.aws_services(stage)
    return wiring.local_services(home, load_config(find_config()))


def refuse_home() -> None:
    """Raises UsageError where --home was given: beside --stage nothing would honour it."""
    if was_told("home"):
        raise click.UsageError("--home is on this machine, and --stage isn't; give one of them")


def bottom(home: Path, stage: str | None) -> tuple[Training, Place]:
    """The training layer of `stage`, else that of `home`, and where its jobs run."""
    from ..client import places
    from ..client.training import Training

    ports = services(home, stage)
    place = places.of_stage(stage, ports.objects) if stage else places.ThisMachine(home / "data")
    return Training(ports, place), place


def middle(home: Path, stage: str | None) -> tuple[Services, AsyncHosting]:
    """The ports of `stage`, else of `home`, and the hosting layer on them, with the gates of ./stack.toml."""
    from ..client import places
    from ..client.hosting import AsyncHosting
    from ..config import find_config, load_config

    ports = services(home, stage)
    place = places.of_stage(stage, ports.objects) if stage else places.ThisMachine(home / "data")
    return ports, AsyncHosting(ports, place, load_config(find_config()).gates)


def top(home: Path, stage: str | None = None) -> GenAIStack:
    """The stack of `stage`, else the one that runs in the home that --home names, that GENAI_STACK_BASE_URL names, or
    that runs in the default home; where none runs, a new one that ends when this is closed."""
    from ..client import GenAIStack

    if stage is not None:
        refuse_home()
        return GenAIStack.deployed(stage)
    return GenAIStack.local(home if home_is_given() else None)


def home_is_given() -> bool:
    """Whether --home was on the command line; GENAI_STACK_BASE_URL doesn't go before it then."""
    source = click.get_current_context().get_parameter_source("home")
    return source is not None and source.name == "COMMANDLINE"


def was_told(name: str) -> bool:
    """Whether the option was given, rather than left at its default."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def computing(stage: str | None) -> dict[str, Any]:
    """What ./stack.toml says about the engine of this machine; nothing for a stage, which has another."""
    from ..config import find_config, load_config

    if stage:
        return {}
    local = load_config(find_config()).local
    return {"threads": local.threads, "precision": local.precision}
