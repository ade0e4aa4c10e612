"""`genai-stack quickstart`: the three layers in one go, from a file of examples to answers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from . import show
from .options import json_option

if TYPE_CHECKING:
    from ..client.jobs import TrainingJob
    from ..client.stack import GenAIStack
    from .report import Outcome, Report, Score

RECIPE = Path("recipes/quickstart.toml")
HELD_OUT = Path("examples/support-desk/heldout.jsonl")
BASE = "builtin"


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".genai-stack/quickstart"),
    show_default=True,
    help="Emptied at the start, so that every run is the same.",
)
@json_option
def quickstart(home: Path, as_json: bool) -> int:
    """Fine-tune the built-in model on a support desk's letters, host it, and ask it new ones.

    Bottom: a LoRA adapter is trained. Middle: base and adapter come up on the local model server. Top: the API
    answers, and both models get the same questions. Runs in the repository; leaves no process behind. Ends with 1
    when the adapter isn't better than its base.
    """
    from .report import Report

    for needed in (RECIPE, HELD_OUT):
        if not needed.is_file():
            raise ConfigError(f"{needed} isn't here; run the quickstart in the repository's directory")
    place = _emptied(home)
    outcome = _run(place, Report(quiet=as_json))
    if as_json:
        show.document(outcome)
    return 0 if outcome.tuned.exact > outcome.base.exact else 1


def _run(home: Path, report: Report) -> Outcome:
    from .. import wiring
    from ..client import GenAIStack
    from ..client.loop import LoopThread
    from ..client.places import ThisMachine
    from ..client.training import Training
    from .report import Outcome

    questions, expected = _held_out()
    loop, services = LoopThread(), wiring.local_services(home)
    seconds: dict[str, float] = {}
    try:
        with _timed(seconds, "training"), report.bottom(RECIPE):
            job = Training(services, ThisMachine(home / "data")).run(RECIPE)
            _finished(job, report)
        tuned = str(job.model)
        with _timed(seconds, "hosting"), report.middle(BASE, tuned):
            for model in (BASE, tuned):
                loop.run(services.models.deploy(model))
        with _timed(seconds, "service"):
            with report.top():
                stack = GenAIStack.local(home, config=_default_config(home))
            with stack:
                before, after = _compare(stack, tuned, questions, expected, report)
    finally:
        loop.run(services.models.close())
        loop.close()
    last = [line for line in job.metrics() if "loss" in line]
    examples = sum(1 for path in (home / "data").glob("*.jsonl") for _ in path.open())
    outcome = Outcome(job.id, last[-1]["step"], examples, seconds, before, after, questions, expected)
    report.summary(outcome, losses=(last[0]["loss"], last[-1]["loss"]), home=home)
    return outcome


def _finished(job: TrainingJob, report: Report) -> None:
    try:
        job.wait(progress=not report.quiet)
    except BaseException:
        job.cancel()
        raise


def _compare(
    stack: GenAIStack, tuned: str, questions: list[str], expected: list[str], report: Report
) -> tuple[Score, Score]:
    """Both models on every question, one request at a time: the numbers don't hang on what shared a batch."""
    from .report import Score

    answers: dict[str, list[str]] = {BASE: [], tuned: []}
    waits: dict[str, list[float]] = {BASE: [], tuned: []}
    with report.asking(len(questions) * 2) as asked:
        for question, right in zip(questions, expected, strict=True):
            for model in (BASE, tuned):
                began = time.perf_counter()
                pieces: list[str] = []
                for piece in _stream(stack, model, question):
                    if not pieces:
                        waits[model].append(time.perf_counter() - began)
                    pieces.append(piece)
                answers[model].append("".join(pieces).strip())
                asked(model, question, answers[model][-1], right)
    before, after = (
        Score(
            model,
            sum(answer == right for answer, right in zip(answers[model], expected, strict=True)),
            answers[model],
            sorted(waits[model] or [0.0])[len(waits[model]) // 2],
        )
        for model in (BASE, tuned)
    )
    return before, after


def _stream(stack: GenAIStack, model: str, question: str) -> Iterator[str]:
    """The answer's pieces, through the unmodified openai client."""
    chunks: Any = stack.service.openai.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": question}],
        temperature=0,
        max_tokens=96,
        stream=True,
    )
    for chunk in chunks:
        if chunk.choices and (text := chunk.choices[0].delta.content):
            yield text


def _held_out() -> tuple[list[str], list[str]]:
    """Questions and the answers that are right."""
    import msgspec

    rows = [
        msgspec.json.decode(line)["messages"] for line in HELD_OUT.read_bytes().splitlines() if line.strip()
    ]
    return [row[0]["content"] for row in rows], [row[-1]["content"] for row in rows]


def _emptied(home: Path) -> Path:
    """The quickstart's own home, new. Raises AlreadyRunning while a stack runs in it, and ConfigError for a directory
    that is no home."""
    from .. import wiring
    from ..local.home import Home
    from ..ports import FINAL_STATES

    path = home.expanduser().absolute()
    if path.exists() and any(path.iterdir()):
        if not (path / "records.sqlite").exists():
            raise ConfigError(f"{path} isn't a home directory of a stack; give another --home")
        with Home(path).lock():
            jobs = wiring.local_services(path).jobs
            for job in jobs.list():
                if job.state not in FINAL_STATES:
                    jobs.cancel(job.id)
        shutil.rmtree(path)
    return path


def _default_config(home: Path) -> Path:
    """An empty stack.toml: the quickstart is the same whatever the one in the working directory says."""
    path = home / "stack.toml"
    path.write_text("# The quickstart runs on the defaults.\n")
    return path


@contextmanager
def _timed(seconds: dict[str, float], layer: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[layer] = round(time.perf_counter() - began, 2)
