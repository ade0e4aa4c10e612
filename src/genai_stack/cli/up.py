"""`genai-stack up`: the stack of a home directory, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import click

from .options import home_option


@click.command()
@home_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 picks a free one."
)
@click.option("--model", metavar="NAME|DIR|hf://org/name", help="Makes this the default model, and serves it.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A stack.toml.  [default: ./stack.toml, if there]",
)
@click.option("--stop-with-parent", is_flag=True, hidden=True, help="End when standard input does.")
def up(
    home: Path, host: str, port: int, model: str | None, config: Path | None, stop_with_parent: bool
) -> None:
    """Serve the API until Ctrl-C.

    State lives in the home directory and survives a restart. The key is $GENAI_STACK_API_KEY, else one that is made
    once and kept there. A port or home directory that is in use ends this with exit code 2.
    """
    from ..config import find_config, load_config
    from ..sources import check
    from .serving import serve

    stack = load_config(config or find_config())
    if model is not None:
        stack = stack.serving(model)
    for configured in stack.local_models:
        if Path(configured.source).is_absolute():
            check(Path(configured.source))
    serve(home, host, port, stack, stop_with_parent=stop_with_parent)
