"""Ready-made tasks on files and pipes: `genai-stack summarize`, `answer` and their like."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from . import show
from .options import home_option, json_option, top

if TYPE_CHECKING:
    from ..client.service import Service
    from ..protocol.task_replies import Answer, Assistance, TaskReply

F = TypeVar("F", bound=Callable[..., Any])
FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)
TONES = ("formal", "friendly", "simple", "concise", "neutral", "persuasive")


def task_options(function: F) -> F:
    """The options of every task; `examples` is a list, `given` what else the API takes."""
    for option in (
        home_option,
        json_option,
        click.option("--max-tokens", type=click.IntRange(1), help="Of each piece that the model writes."),
        click.option("--temperature", type=click.FloatRange(0, 2), help="[default: 0]"),
        click.option(
            "--examples", type=FILE, help="A JSONL file of the task's examples, as the API takes them."
        ),
        click.option("--model", help="Name of the model.  [default: the task's in stack.toml]"),
    ):
        function = option(function)
    return function


@click.command()
@click.argument("file", type=FILE, default="-")
@click.option("--length", type=click.Choice(["short", "medium", "long"]), help="[default: short]")
@click.option("--style", type=click.Choice(["prose", "bullets"]), help="[default: prose]")
@task_options
def summarize(file: str, as_json: bool, home: Path, **options: Any) -> None:
    """Tell in short what FILE, or standard input, says."""
    _write("summarize", {"text": text_of(file)}, as_json, home, options)


@click.command()
@click.argument("file", type=FILE, default="-")
@click.option("--to", "target", required=True, metavar="CODE", help="The language: fr, de, pt-BR …")
@click.option("--from", "source", metavar="CODE", help="The text's own language.")
@task_options
def translate(file: str, as_json: bool, home: Path, **options: Any) -> None:
    """Translate FILE, or standard input."""
    _write("translate", {"text": text_of(file)}, as_json, home, options)


@click.command()
@click.argument("file", type=FILE, default="-")
@click.option("--tone", type=click.Choice(TONES))
@click.option("--instruction", help="What to change.")
@task_options
def rewrite(file: str, as_json: bool, home: Path, **options: Any) -> None:
    """Rewrite FILE, or standard input, in a tone or by an instruction."""
    _write("rewrite", {"text": text_of(file)}, as_json, home, options)


@click.command()
@click.argument("file", type=FILE, default="-")
@click.option(
    "--label", "labels", multiple=True, required=True, metavar="NAME[=DESCRIPTION]", help="Again for more."
)
@click.option("--multi", "multi_label", is_flag=True, help="Any number of labels may fit.")
@task_options
def classify(
    file: str, labels: tuple[str, ...], multi_label: bool, as_json: bool, home: Path, **options: Any
) -> None:
    """Choose the label that fits FILE, or standard input."""
    named = [_label(label) for label in labels]
    asked: dict[str, Any] = {
        "text": text_of(file),
        "labels": named,
        **({"multi_label": True} if multi_label else {}),
    }
    found: Any = ask_stack(home, lambda service: service.classify(**asked, **told(options)))
    if as_json:
        show.document(found)
        return
    for score in found.scores:
        if score.label in found.labels:
            sure = "" if score.confidence is None else f"\t{score.confidence:.3f}"
            click.echo(f"{score.label}{sure}")


@click.command()
@click.argument("file", type=FILE, default="-")
@click.option("--schema", required=True, metavar="FILE|JSON", help="The JSON Schema that the data is to fit.")
@task_options
def extract(file: str, schema: str, as_json: bool, home: Path, **options: Any) -> None:
    """Take data out of FILE, or standard input, as JSON."""
    asked: dict[str, Any] = {"text": text_of(file), "schema": _schema(schema)}
    found: Any = ask_stack(home, lambda service: service.extract(**asked, **told(options)))
    show.document(found if as_json else found.data)


@click.command()
@click.argument("question")
@click.argument("files", type=FILE, nargs=-1)
@click.option("--store", "vector_store_id", help="The id of a vector store to look in.")
@task_options
def answer(question: str, files: tuple[str, ...], as_json: bool, home: Path, **options: Any) -> None:
    """Answer QUESTION from FILES, from standard input, or from a vector store; with where it stands."""
    if files and options["vector_store_id"]:
        raise click.UsageError("FILES and --store don't go together; give one of them")
    asked: dict[str, Any] = {"question": question}
    if not options["vector_store_id"]:
        asked["documents"] = [{"id": name, "text": text_of(name)} for name in files or ("-",)]
    found: Any = _write("answer", asked, as_json, home, options)
    if as_json:
        return
    places(found)


def places(found: Answer | Assistance) -> None:
    """Where an answer stands, on stderr; or that there is none."""
    if not found.found:
        click.echo("not found", err=True)
    for cited in found.citations:
        where = cited.filename or cited.id or ""
        click.echo(f"  {where}:{cited.start}-{cited.end}  {cited.text}", err=True)


def _write(task: Any, asked: dict[str, Any], as_json: bool, home: Path, options: dict[str, Any]) -> TaskReply:
    """The text as it comes, or the whole answer as JSON."""
    found: TaskReply = ask_stack(
        home, lambda service: written(service, task, {**asked, **told(options)}, as_json)
    )
    return found


def written(service: Service, task: Any, asked: dict[str, Any], as_json: bool) -> TaskReply:
    """Asks for a task and prints its text as it comes, or the whole answer as JSON."""
    reply: Any = None
    for event in service.stream(task, **asked):
        reply = event
        if event.object == "task.delta" and not as_json:
            click.echo(event.delta, nl=False)
            sys.stdout.flush()
    if as_json:
        show.document(reply)
    else:
        click.echo()
    return cast("TaskReply", reply)


def ask_stack(home: Path, ask: Callable[[Service], Any]) -> Any:
    with top(home) as stack:
        return ask(stack.service)


def told(options: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in options.items() if value is not None}
    if "examples" in given:
        try:
            given["examples"] = [
                json.loads(line) for line in text_of(given["examples"]).splitlines() if line.strip()
            ]
        except ValueError as error:
            raise click.BadParameter(f"it isn't JSONL: {error}", param_hint="--examples") from None
    return given


def text_of(file: str) -> str:
    try:
        with click.open_file(file, "rb") as opened:
            text: str = opened.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"{file} isn't UTF-8 text; convert it first") from None
    if not text.strip():
        raise click.UsageError(f"there is no text in {'standard input' if file == '-' else file}")
    return text


def _label(told: str) -> str | dict[str, str]:
    name, given, description = told.partition("=")
    return {"name": name, "description": description} if given else name


def _schema(told: str) -> dict[str, Any]:
    try:
        schema = json.loads(told if told.lstrip().startswith("{") else Path(told).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"it is no JSON Schema: {error}", param_hint="--schema") from None
    if not isinstance(schema, dict):
        raise click.BadParameter("it is no JSON object", param_hint="--schema")
    return schema
