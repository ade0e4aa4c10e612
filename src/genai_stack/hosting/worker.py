"""The engine's process: `python -m genai_stack.hosting.worker`, commands on stdin, reports on stdout (`wire`).

A process of its own, because a step holds the interpreter for as long as it lasts, because an engine that dies must
not take the server with it, and because ending a process is what frees a model for certain. It ends when its stdin
does, so it never outlives the server. One thread: read commands, step the batch, advance one slice of other work.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ..errors import InvalidModel
from .architecture import model_type, read_architecture, stop_tokens
from .artefact import check_sha256, prepare
from .encoder import SentenceEncoder
from .generator import Generator, properties
from .llama import build
from .lora import merge
from .scoring import Scorer
from .weights import open_weights
from .wire import (
    Cancel,
    Embed,
    Embedded,
    Frames,
    Generate,
    Load,
    Output,
    Ready,
    Refused,
    Report,
    Score,
    Scored,
    Step,
    decode_command,
    frame,
)

Job = Iterator[Report | None]


class Worker:
    """Everything one model can be asked, over one loaded model."""

    def __init__(self, load: Load) -> None:
        """Raises InvalidModel."""
        self._load = load
        self._directory = Path(load.directory)
        self._adapter = Path(load.adapter) if load.adapter else None
        self._jobs: dict[int, Job] = {}
        self._turns: deque[int] = deque()
        self._scorers: dict[str, Scorer] = {}
        self._generator: Generator | None = None
        self._encoder: SentenceEncoder | None = None
        self.structured: str | None = None
        if load.sha256:
            check_sha256(self._directory / "model.safetensors", load.sha256)
        open_weights(self._directory)  # refuses broken ones before anything is built
        if model_type(self._directory) == "bert":
            self._threads = load.threads or _cores()
            self._encoder = SentenceEncoder(self._directory, self._threads)
            return
        self._threads = load.threads or _cores()
        shape, stops = read_architecture(self._directory), stop_tokens(self._directory)
        self._form = prepare(self._directory, self._adapter, load.precision, Path(load.cache))
        if not (self._form / "openvino_tokenizer.xml").is_file():
            self.structured = "this model's tokenizer couldn't be converted for the engine"
        self._generator = Generator(self._form, load, shape, stops, self._threads, self._serving_scorer)

    @property
    def busy(self) -> bool:
        return bool(self._jobs) or (self._generator is not None and self._generator.busy)

    def take(self, body: bytes) -> list[Output]:
        """Takes a command; returns the outputs of sequences that ended at once."""
        command = decode_command(body)
        if isinstance(command, Generate) and self._generator:
            refused = self._generator.add(command)
            return [refused] if refused else []
        if isinstance(command, Cancel):
            for id in command.ids:
                self._jobs.pop(id, None)
            if self._generator:
                self._generator.cancel(command.ids)
        elif isinstance(command, Score):
            self._start(command.id, self._score(command))
        elif isinstance(command, Embed) and self._encoder:
            self._start(command.id, self._embed(command, self._encoder))
        return []

    def advance(self) -> Iterator[Report]:
        """One step of the batch, then one slice of one job."""
        if self._generator and self._generator.busy:
            outputs = self._generator.step()
            if outputs:
                yield Step(outputs)
        while self._turns:
            id = self._turns.popleft()
            job = self._jobs.get(id)
            if job is None:
                continue
            report = next(job)
            if report is None:
                self._turns.append(id)
            else:
                del self._jobs[id]
                yield report
            return

    def _start(self, id: int, job: Job) -> None:
        self._jobs[id] = job
        self._turns.append(id)

    def _score(self, command: Score) -> Job:
        scores = []
        for part in self._exact_scorer().score(command.tokens, command.alternatives):
            scores += part
            if len(scores) < len(command.tokens) - 1:
                yield None
        yield Scored(command.id, scores)

    def _embed(self, command: Embed, encoder: SentenceEncoder) -> Job:
        rows: dict[int, bytes] = {}
        for places, vectors in encoder.encode(command.inputs):
            rows.update(zip(places, (v.astype("<f4").tobytes() for v in vectors), strict=True))
            if len(rows) < len(command.inputs):
                yield None
        yield Embedded(command.id, b"".join(rows[i] for i in range(len(command.inputs))))

    def _serving_scorer(self) -> Scorer:
        """The graph that generates, on the plain runtime."""
        if "serving" not in self._scorers:
            file = self._form / "openvino_model.xml"
            self._scorers["serving"] = Scorer(file, properties(self._load.precision, self._threads))
        return self._scorers["serving"]

    def _exact_scorer(self) -> Scorer:
        """float32 from the weights themselves, so that scores equal a float32 run of transformers."""
        if self._load.precision == "f32":
            return self._serving_scorer()
        if "exact" not in self._scorers:
            weights = open_weights(self._directory)
            merged = merge(weights, self._adapter) if self._adapter else weights
            graph = build(read_architecture(self._directory), merged, "f32")
            self._scorers["exact"] = Scorer(graph, properties("f32", self._threads))
        return self._scorers["exact"]


def main() -> int:
    reports = os.dup(1)
    os.dup2(2, 1)  # whatever the engine prints goes to stderr, not between the reports
    frames = Frames()
    waiting: deque[bytes] = deque()
    while not waiting:
        if not _read(frames, waiting):
            return 0
    load = decode_command(waiting.popleft())
    assert isinstance(load, Load)
    try:
        worker = Worker(load)
    except InvalidModel as error:
        _send(reports, Refused(error.message))
        return 2
    _send(reports, Ready(worker.structured))
    while True:
        while select.select([0], [], [], 0 if worker.busy or waiting else None)[0]:
            if not _read(frames, waiting):
                return 0
        while waiting:
            ended = worker.take(waiting.popleft())
            if ended:
                _send(reports, Step(ended))
        for report in worker.advance():
            _send(reports, report)


def _cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(frames: Frames, waiting: deque[bytes]) -> bool:
    """False at the end of stdin."""
    data = os.read(0, 1 << 16)
    waiting.extend(frames.feed(data))
    return bool(data)


def _send(fd: int, report: Report) -> None:
    data = memoryview(frame(report))
    while data:
        data = data[os.write(fd, data) :]


if __name__ == "__main__":
    try:
        code = main()
    except (BrokenPipeError, KeyboardInterrupt):
        code = 0
    sys.stdout.flush()
    os._exit(code)
