"""`genai-stack anatomy`: how a model reads a text, in four steps."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import show
from .options import home_option, json_option, top

if TYPE_CHECKING:
    from openai import OpenAI

    from ..errors import GenAIStackError

STEPS = ("tokens", "embeddings", "attention", "output")


@click.command()
@click.argument("text", nargs=-1)
@click.option("--model", help="Name of the model.  [default: the stack's first chat model]")
@click.option(
    "--step", "steps", type=click.Choice(STEPS), multiple=True, help="Only this step; again for more."
)
@click.option(
    "--compare", multiple=True, metavar="WORD", help="Measure every token against it; again for more."
)
@click.option(
    "--layer", "layers", type=click.IntRange(0), multiple=True, help="Only this layer; again for more."
)
@click.option(
    "--head", "heads", type=click.IntRange(0), multiple=True, help="This head, and not the mean over all."
)
@click.option("--position", "positions", type=click.IntRange(0), multiple=True, help="Only this token.")
@click.option("--attention-top", type=click.IntRange(1), help="Only so many of the largest weights a token.")
@click.option("--neighbours", type=click.IntRange(0, 50), help="Nearest tokens of the vocabulary.")
@click.option("--dimensions", type=click.Choice(["2", "3"]), help="Of the projection.")
@click.option("--top-k", type=click.IntRange(1), help="Likeliest next tokens.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="Of the output probabilities.")
@click.option("--lens", is_flag=True, help="Predictions after every layer as well.")
@click.option("--vectors", is_flag=True, help="The vectors themselves as well (in --json).")
@click.option("--special", is_flag=True, help="Read control tokens in TEXT as such.")
@click.option(
    "--png", type=click.Path(path_type=Path, file_okay=False), help="Write pictures into this directory."
)
@json_option
@home_option
def anatomy(
    text: tuple[str, ...], model: str | None, png: Path | None, as_json: bool, home: Path, **options: Any
) -> None:
    """Show how a model reads TEXT, or what comes on standard input: tokens, embeddings, attention, output.

    Works as `chat` does: on the running stack, the one at $GENAI_STACK_BASE_URL, or one started for it. Layers, heads
    and positions count from 0.
    """
    if png is not None and find_spec("matplotlib") is None:
        raise _no_pictures()
    written = _written(text)
    asked = _asked(options)
    with top(home) as stack:
        name, task = _model(stack.service.openai, model)
        if not as_json:  # what the view shows, unless something else was asked for
            if "attention" in asked.get("steps", STEPS):
                asked.setdefault("heads", "mean")
            if task == "chat" and "output" in asked.get("steps", STEPS):
                asked.setdefault("lens", True)
        found = stack.service.anatomy(written, model=name, **asked)
    if png is not None:
        from .anatomy_pictures import draw

        for file in draw(found, png):
            click.echo(file, err=as_json)
    if as_json:
        show.document(found)
    elif png is None:
        from .anatomy_screen import show_anatomy

        show_anatomy(found, words=asked.get("compare", []))


def _asked(options: dict[str, Any]) -> dict[str, Any]:
    """What was given, as the API calls it."""
    asked: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in options.items() if value
    }
    for name in ("neighbours", "temperature"):  # 0 says something
        if options[name] is not None:
            asked[name] = options[name]
    if "special" in asked:
        asked["parse_special"] = asked.pop("special")
    if "dimensions" in asked:
        asked["dimensions"] = int(asked["dimensions"])
    return asked


def _written(text: tuple[str, ...]) -> str:
    try:
        if text:
            written = " ".join(text)
            written.encode()
        else:
            written = "" if sys.stdin.isatty() else sys.stdin.buffer.read().decode()
    except UnicodeError:
        raise click.UsageError("the text isn't UTF-8; convert it first") from None
    if not written:
        raise click.UsageError("nothing to look at: give a text, or one on standard input")
    return written


def _model(client: OpenAI, name: str | None) -> tuple[str, str]:
    """The name and the task of the model asked for, else of the first that chats, else of the first."""
    cards = list(client.models.list())
    chats = [card for card in cards if getattr(card, "task", "chat") == "chat"]
    for card in cards if name is not None else chats or cards:
        if name in (None, card.id):
            return card.id, getattr(card, "task", "chat")
    return name or "", "embedding"  # the API says that there is no such model


def _no_pictures() -> GenAIStackError:
    from ..errors import GenAIStackError

    return GenAIStackError(
        "pictures need matplotlib, which isn't here: pip install 'genai-stack[anatomy]', or leave out --png"
    )
