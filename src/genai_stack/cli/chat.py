"""`genai-stack chat`: one question, or a conversation."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import GenAIStackError
from .options import home_is_given, home_option, top

if TYPE_CHECKING:
    from openai import OpenAI


@click.command()
@click.argument("question", nargs=-1)
@click.option("--model", help="Name of the model.  [default: the stack's first chat model]")
@click.option("--system", help="What the model is told before anything else.")
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(1))
@home_option
def chat(question: tuple[str, ...], model: str | None, system: str | None, home: Path, **options: Any) -> None:
    """Ask QUESTION, or what comes on standard input; without either, talk until Ctrl-D.

    Uses the stack that runs in the home directory or at $GENAI_STACK_BASE_URL. When none does, one is started and
    stopped again at the end.
    """
    from ..client.endpoint import named, running

    text = " ".join(question) or ("" if sys.stdin.isatty() else sys.stdin.read().strip())
    if not text and not sys.stdin.isatty():
        raise click.UsageError("nothing to ask: give a question, or text on standard input")
    if sys.stderr.isatty() and (home_is_given() or not named(home)) and not running(home):
        click.echo(f"starting a stack in {home}, for as long as this lasts", err=True)
    with top(home) as stack:
        client = stack.service.openai
        name = model or _default_model(client)
        messages: list[Any] = [{"role": "system", "content": system}] if system else []
        settings = {key: value for key, value in options.items() if value is not None}
        if text:
            _turn(client, name, [*messages, {"role": "user", "content": text}], settings)
        else:
            _converse(client, name, messages, settings)


def _default_model(client: OpenAI) -> str:
    for card in client.models.list():
        if getattr(card, "task", "chat") == "chat":
            return card.id
    raise GenAIStackError("the stack has no chat model; name one in stack.toml, or give --model")


def _converse(client: OpenAI, model: str, messages: list[Any], settings: dict[str, Any]) -> None:
    click.echo(f"{model}: Ctrl-D ends, Ctrl-C stops an answer", err=True)
    with suppress(ImportError):
        import readline  # noqa: F401 - gives input() its line editing
    while True:
        try:
            line = input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            click.echo(err=True)
            return
        if not line:
            continue
        messages.append({"role": "user", "content": line})
        try:
            messages.append({"role": "assistant", "content": _turn(client, model, messages, settings)})
        except KeyboardInterrupt:
            messages.pop()
            click.echo(" (stopped)", err=True)


def _turn(client: OpenAI, model: str, messages: list[Any], settings: dict[str, Any]) -> str:
    """Prints the answer as it comes, and returns it."""
    said: list[str] = []
    with client.chat.completions.create(model=model, messages=messages, stream=True, **settings) as stream:
        for chunk in stream:
            text = chunk.choices[0].delta.content if chunk.choices else None
            if text:
                said.append(text)
                click.echo(text, nl=False)
                sys.stdout.flush()
    click.echo()
    return "".join(said)
