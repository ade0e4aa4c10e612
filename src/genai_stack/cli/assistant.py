"""`genai-stack assistant`: questions to documents of one's own, with a memory."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from .tasks import FILE, ask_stack, places, task_options, text_of, told, written

if TYPE_CHECKING:
    from ..client.service import Service
    from ..protocol.task_replies import Assistance


@click.command()
@click.argument("question", nargs=-1)
@click.option("--store", "vector_store_id", help="The id of a vector store to look in.")
@click.option("--file", "files", type=FILE, multiple=True, help="A text to look in. Again for more.")
@click.option("--conversation", help="The id of a conversation to go on with.")
@click.option("--instructions", help="How to answer.")
@click.option("--forget", is_flag=True, help="Keep nothing of one question.")
@task_options
def assistant(
    question: tuple[str, ...],
    files: tuple[str, ...],
    forget: bool,
    as_json: bool,
    home: Path,
    **options: Any,
) -> None:
    """Answer QUESTION, or what comes on standard input, from a vector store (--store) or files (--file), with where it
    stands. Without a question, talk until Ctrl-D. What was said is remembered: --conversation goes on with it."""
    if bool(files) == bool(options["vector_store_id"]):
        raise click.UsageError("give --store, or --file for each text, and not both")
    asked = told(options)
    if files:
        asked["documents"] = [{"id": name, "text": text_of(name)} for name in files]
    text = " ".join(question)
    if not text and not sys.stdin.isatty():
        text = "" if "-" in files else sys.stdin.read().strip()
        if not text:
            raise click.UsageError("nothing to ask: give a question, or text on standard input")
    if forget:
        if not text:
            raise click.UsageError("--forget goes with one question; without it, talk is remembered")
        asked["store"] = False
    if text:
        ask_stack(home, lambda service: _turn(service, {**asked, "question": text}, as_json))
    else:
        ask_stack(home, lambda service: _converse(service, asked, as_json))


def _converse(service: Service, asked: dict[str, Any], as_json: bool) -> None:
    click.echo("Ctrl-D ends, Ctrl-C stops an answer", err=True)
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
        try:
            found = _turn(service, {**asked, "question": line}, as_json)
            asked["conversation"] = found.conversation
        except KeyboardInterrupt:
            click.echo(" (stopped)", err=True)


def _turn(service: Service, asked: dict[str, Any], as_json: bool) -> Assistance:
    found = cast("Assistance", written(service, "assistant", asked, as_json))
    if not as_json:
        places(found)
        if found.conversation and found.conversation != asked.get("conversation"):
            click.echo(f"  conversation {found.conversation}", err=True)
    return found
