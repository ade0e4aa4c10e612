"""`python -m genai_stack.bulk.batch SPEC`: a model over an OpenAI batch file.

Exits 0 done, 1 failed, 2 bad spec or data, 75 interrupted: the same command goes on where that one stopped. Leaves
output.jsonl and errors.jsonl, both in the input's order, and a manifest last; while it runs, parts/ holds what is
finished and metrics.jsonl how much that is. A line that fails is in errors.jsonl, and no failure of the run.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .. import sources
from ..errors import InvalidSpec
from ..task_prompts.overrides import TasksConfig
from ..tasks import run as task_run
from . import vllm
from .asking import Asked, ask_all
from .entries import Entry
from .files import MANIFEST, RunLog, write_manifest
from .intake import MAX_BYTES, Line, read, require
from .ledger import ERRORS, OUTPUT, Counts, Ledger
from .places import Place, fetch
from .program import Interrupted, main
from .pulse import Pulse
from .specs import BatchSpec
from .task_host import TaskHost


def run(spec: BatchSpec, place: Place, log: RunLog, stop: threading.Event) -> None:
    """Raises InvalidSpec, InvalidData or InvalidModel before any line runs, EngineFailed when the engine can't go on,
    Interrupted when `stop` was set before the last line had ended."""
    path = fetch(spec.input, place.scratch / "input.jsonl", at_most=MAX_BYTES)
    found = require(path, endpoint=spec.endpoint, model=spec.model.name)
    about = msgspec.to_builtins({"input": found.sha256, "endpoint": spec.endpoint, "model": spec.model})
    if (place.path / MANIFEST).exists():
        _require_same(place, about)
        return
    ledger = Ledger(place.path, found.lines, about)
    try:
        _tell_start(ledger.counts, log)
        with Pulse(_beat(ledger, log), place):
            if ledger.counts.left and not stop.is_set():
                lines = (line for line in read(path) if not ledger.done(line.number))
                _engine(spec, place, lines, ledger, stop)
        counts = ledger.counts
        if counts.left:
            raise Interrupted(
                f"interrupted, {counts.left} of {counts.total} lines left; the same command goes on"
            )
        ledger.write_outputs()
        place.remove_scratch()
        result = {**msgspec.to_builtins(counts), **msgspec.to_builtins(ledger.usage)}
        told = f"{counts.completed} lines answered, {counts.failed} failed"
        log.event("succeeded", told, **result)
        write_manifest(place.path, (OUTPUT, ERRORS), kind="batch", about=about, spec=spec, result=result)
        place.push()
        ledger.remove_parts()
    finally:
        ledger.close()


def _engine(
    spec: BatchSpec, place: Place, lines: Iterator[Line], ledger: Ledger, stop: threading.Event
) -> None:
    if spec.engine == "vllm" or (spec.engine == "auto" and shutil.which("vllm")):
        vllm.run(spec, place.scratch / "vllm", lines, ledger.record, stop)
        return
    from .. import wiring

    sources.resolve(spec.model.source)

    def record(line: Line, entry: Entry) -> None:
        ledger.record(line.number, entry)

    async def ask() -> None:
        limits = {
            "precision": spec.precision,
            "threads": spec.threads,
            "max_running": spec.max_in_flight,
            "max_waiting": 1_000_000,  # a request may bring thousands of sequences; the window is the bound
        }
        host = wiring.job_models(place.scratch_home(), spec.model.versions(), limits)
        asked: Asked = host
        if spec.endpoint in task_run.ROUTES:
            asked = TaskHost(host, spec.tasks or TasksConfig())
        try:
            await ask_all(asked, spec.model.name, spec.endpoint, lines, spec.max_in_flight, record, stop)
        finally:
            await host.close()

    asyncio.run(ask())


def _beat(ledger: Ledger, log: RunLog) -> Callable[[], None]:
    told: Counts | None = None

    def beat() -> None:
        nonlocal told
        counts = ledger.counts
        if counts != told:
            ledger.sync()
            told = counts
            log.metrics(**msgspec.to_builtins(counts), **msgspec.to_builtins(ledger.usage))

    return beat


def _tell_start(counts: Counts, log: RunLog) -> None:
    done = counts.total - counts.left
    went = f", {done} of them finished before" if done else ""
    log.event("started", f"{counts.total} lines{went}", total=counts.total, finished=done)


def _require_same(place: Place, about: Any) -> None:
    manifest = msgspec.json.decode((place.path / MANIFEST).read_bytes())
    if manifest.get("about") != about:
        raise InvalidSpec("output: it holds a complete run of something else; give another place")


if __name__ == "__main__":
    sys.exit(main("genai_stack.bulk.batch", BatchSpec, run))
