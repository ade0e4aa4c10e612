"""`genai-stack serve`: one model server by itself, under the container contract."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from .options import home_option


@click.command()
@click.argument("model_dir", metavar="MODEL_DIR")
@click.option("--name", help="What a request says in `model`.  [default: the directory's name]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 picks a free one."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A stack.toml, for its [local] table.  [default: ./stack.toml, if there]",
)
@home_option
def serve(model_dir: str, name: str | None, host: str, port: int, config: Path | None, home: Path) -> None:
    """Serve one model (a directory, hf://org/name or builtin) as SageMaker's container contract asks.

    GET /ping says whether it is ready; POST /invocations takes OpenAI's JSON, the API path in the header
    X-Amzn-SageMaker-Custom-Attributes as route=/v1/chat/completions. No key is asked for: use `up` for an API.
    """
    from ..config import derived_name, find_config, load_config
    from ..hosting.fleet import Limits
    from ..hosting.server import run

    local = load_config(config or find_config()).local
    limits = Limits(**{field: getattr(local, field) for field in local.__struct_fields__})
    called = name or derived_name(model_dir)

    def listening(port: int) -> None:
        for number in (
            signal.SIGINT,
            signal.SIGTERM,
        ):  # the server takes these over, and raises them again at its end
            signal.signal(number, lambda _number, _frame: None)
        click.echo(f"{called} is served at http://{host}:{port}/invocations; Ctrl-C ends it.")

    run(model_dir, name=called, host=host, port=port, home=home, limits=limits, on_listening=listening)
