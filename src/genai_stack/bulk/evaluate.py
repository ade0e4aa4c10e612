"""`python -m genai_stack.bulk.evaluate SPEC`: a model's scores on lm-eval's tasks.

Exits 0 done, 1 failed, 2 bad spec, 75 interrupted: the same command goes on, and asks only what wasn't answered. Leaves
results.json, and a manifest last; while it runs, answers.jsonl holds what the model said and metrics.jsonl how much.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from ..errors import GenAIStackError, InvalidSpec
from . import harness
from .answers import Answers
from .api import api
from .files import MANIFEST, RunLog, write_manifest, write_whole
from .places import Place
from .program import INTERRUPTED, Interrupted, main
from .pulse import Pulse
from .scores import RESULTS, Results, scores_of
from .specs import EvaluationSpec

ANSWERS = "answers.jsonl"
ABOUT = ("model", "tasks", "against", "limit", "num_fewshot", "seed")
"""What of a spec decides the scores."""


def run(spec: EvaluationSpec, place: Place, log: RunLog, stop: threading.Event) -> None:
    """Raises InvalidSpec or InvalidModel before anything is asked, GenAIStackError where lm-eval is missing."""
    plain = msgspec.json.decode(msgspec.json.encode(spec))  # as a manifest says it, lists for tuples
    about = {key: plain[key] for key in ABOUT}
    if (place.path / MANIFEST).exists():
        if msgspec.json.decode((place.path / MANIFEST).read_bytes()).get("about") != about:
            raise InvalidSpec("output: it holds a complete run of something else; give another place")
        return
    harness.require_harness()
    manager = harness.find_tasks(spec)
    answers = Answers(place.path / ANSWERS)
    log.event("started", f"{len(spec.tasks)} tasks against the {spec.against}", tasks=list(spec.tasks))
    began = time.monotonic()
    with Pulse(_beat(answers, log), place), _leaving(stop, answers, place, log), _model(spec, place) as lm:
        answers.attach(lm)
        found = harness.evaluate(spec, lm, manager)
    if stop.is_set():
        raise Interrupted("interrupted; the same command goes on")
    answers.close()
    scores = scores_of(found)
    seconds = round(time.monotonic() - began, 1)
    config = {key: value for key, value in about.items() if key != "model"}
    results = Results(spec.model, spec.against, scores, config, harness.version(), seconds)
    text = msgspec.json.format(msgspec.json.encode(results), indent=2)
    write_whole(place.path / RESULTS, [text, b"\n"])
    place.remove_scratch()
    log.event("succeeded", f"{len(scores)} scores in {seconds} s", answered=answers.completed)
    write_manifest(place.path, (RESULTS,), kind="evaluation", about=about, spec=spec)
    place.push()
    (place.path / ANSWERS).unlink()


@contextmanager
def _model(spec: EvaluationSpec, place: Place) -> Iterator[Any]:
    if spec.against == "weights":
        yield harness.on_weights(spec)
        return
    with api(spec, place) as (endpoint, name):
        asked = msgspec.structs.replace(spec, model=msgspec.structs.replace(spec.model, name=name))
        yield harness.behind_api(asked, endpoint.base_url, endpoint.key)


def _beat(answers: Answers, log: RunLog) -> Callable[[], None]:
    told = 0

    def beat() -> None:
        nonlocal told
        if answers.completed != told:
            told = answers.completed
            log.metrics(total=answers.total, completed=told)

    return beat


@contextmanager
def _leaving(stop: threading.Event, answers: Answers, place: Place, log: RunLog) -> Iterator[None]:
    """While entered, a signal ends the process within moments: lm-eval has no way to be asked to stop, and would take
    an exception for a request to retry. What was answered is kept; a stack started here ends with its input."""
    ended = threading.Event()

    def watch() -> None:
        stop.wait()
        if ended.is_set():
            return
        words = f"interrupted with {answers.completed} requests answered; the same command goes on"
        answers.sync()
        log.event("interrupted", words, level="warn")
        with suppress(GenAIStackError, OSError):
            place.push()
        print(words, file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)

    threading.Thread(target=watch, name="leaving", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


if __name__ == "__main__":
    sys.exit(main("genai_stack.bulk.evaluate", EvaluationSpec, run))
