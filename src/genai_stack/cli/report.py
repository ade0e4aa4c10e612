"""What the quickstart shows: each layer as it works, then the scores, the times and what to try next."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

SAMPLES = 3
"""Questions whose answers are shown."""
Asked = Callable[[str, str, str, str], None]


class Score(msgspec.Struct, frozen=True):
    """`answers` are in the order of the questions; `first_token` is the median wait in seconds."""

    model: str
    exact: int
    answers: list[str]
    first_token: float


class Outcome(msgspec.Struct, frozen=True):
    """Seconds per layer, and what both models made of the held-out questions."""

    job: str
    steps: int
    examples: int
    seconds: dict[str, float]
    base: Score
    tuned: Score
    questions: list[str]
    expected: list[str]


class Report:
    """`quiet` shows nothing at all."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._console = Console(quiet=quiet, highlight=False)

    @contextmanager
    def bottom(self, recipe: Path) -> Iterator[None]:
        self._title("bottom", "training", f"a LoRA adapter for the built-in model, as {recipe} says")
        yield

    @contextmanager
    def middle(self, base: str, tuned: str) -> Iterator[None]:
        self._title("middle", "hosting", f"{base} and {tuned} on the local model server")
        with self._console.status("bringing them up"):
            yield

    @contextmanager
    def top(self) -> Iterator[None]:
        self._title("top", "service", "the OpenAI API, asked through the openai package, streaming")
        with self._console.status("starting"):
            yield

    @contextmanager
    def asking(self, total: int) -> Iterator[Asked]:
        """Gives a function to call with (model, question, answer, the right one) after each answer."""
        columns = (
            TextColumn("  asking   "),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        seen: list[str] = []
        with Progress(*columns, console=self._console, disable=self.quiet) as progress:
            task = progress.add_task("", total=total)

            def asked(model: str, question: str, answer: str, right: str) -> None:
                if question not in seen:
                    seen.append(question)
                    if len(seen) <= SAMPLES:
                        progress.console.print(Text(f"\n  {question}", style="bold"))
                if len(seen) <= SAMPLES:
                    mark, style = ("✓", "green") if answer == right else ("✗", "red")
                    name = "base " if ":" not in model else "tuned"
                    told = " ".join(answer.split())[:200] or "(nothing)"
                    progress.console.print(Text(f"  {mark} {name}  {told}", style=style))
                progress.advance(task)

            yield asked

    def summary(self, outcome: Outcome, *, losses: tuple[float, float], home: Path) -> None:
        total = len(outcome.questions)
        scores = Table("model", "exact answers", "share", box=box.SIMPLE_HEAD, pad_edge=False)
        for when, score in (("before", outcome.base), ("after", outcome.tuned)):
            share = f"{score.exact / total:.0%}"
            scores.add_row(Text(f"{when}  {score.model}"), f"{score.exact} of {total}", share)
        wait = outcome.tuned.first_token * 1000
        notes = {
            "training": f"{outcome.examples} examples, {outcome.steps} steps, loss {losses[0]:.2f} → {losses[1]:.2f}",
            "hosting": "base and adapter in one server",
            "service": f"{2 * total} streamed answers, first token after {wait:.0f} ms (median)",
        }
        times = Table("layer", "seconds", "", box=box.SIMPLE_HEAD, pad_edge=False)
        for layer, note in notes.items():
            times.add_row(layer, f"{outcome.seconds[layer]:.1f}", note)
        self._console.print(scores)
        self._console.print(times)
        if outcome.tuned.exact <= outcome.base.exact:
            self._console.print("The adapter is no better than its base.", style="red")
        self._console.print("Try next:")
        for command in _next_steps(outcome, home):
            self._console.print(Text(f"  {command}"), soft_wrap=True)

    def _title(self, layer: str, name: str, told: str) -> None:
        self._console.print(
            Text.assemble((f"\n{layer:<7}", "bold cyan"), (f"{name}  ", "bold"), told), soft_wrap=True
        )


def _next_steps(outcome: Outcome, home: Path) -> list[str]:
    here = home.relative_to(Path.cwd()) if home.is_relative_to(Path.cwd()) else home
    program = _program()
    return [
        f"{program} up --home {here}",
        f'{program} chat --home {here} --model {outcome.tuned.model} "{outcome.questions[-1]}"',
        f"{program} train --home {here} examples/support-desk/train.jsonl --suffix mine --epochs 2",
    ]


def _program() -> str:
    """How this program is called from here."""
    started = Path(sys.argv[0]).absolute()
    if shutil.which("genai-stack") == str(started) or started.name != "genai-stack":
        return "genai-stack"
    return str(started.relative_to(Path.cwd()) if started.is_relative_to(Path.cwd()) else started)
