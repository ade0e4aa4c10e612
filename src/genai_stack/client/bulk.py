"""Batches and evaluations: from what a person asks to the job that does it, and that job in hand."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import GenAIStackError, InvalidData, InvalidSpec
from ..ports import Job, JobQueue, JobRequest, ModelRegistry
from ..registry import base_of, pick
from ..spec_file import convert
from .jobs import AsyncTrainingJob, TrainingJob

if TYPE_CHECKING:
    from ..bulk.intake import Inspection

Requests = str | Path | Iterable[Mapping[str, Any]]
"""A file in OpenAI's batch format, or its lines as mappings."""


class BatchJob(TrainingJob):
    """A batch in hand. Its metrics say `total`, `completed`, `failed` and the tokens so far."""

    def counts(self) -> dict[str, int]:
        """`total`, `completed` and `failed` lines; nothing before the first of them."""
        last = (self.metrics() or [{}])[-1]
        return {key: last[key] for key in ("total", "completed", "failed") if key in last}

    def output(self) -> Path:
        """output.jsonl, the answers in the input's order; from a stage it is fetched first, and
        kept. Raises JobFailed unless the job has succeeded."""
        return self._left("output.jsonl")

    def errors(self) -> Path:
        """errors.jsonl, the lines that failed. Raises JobFailed unless the job has succeeded."""
        return self._left("errors.jsonl")

    def results(self) -> Iterator[dict[str, Any]]:
        """The answers, in the input's order, and after them the lines that failed."""
        for path in (self.output(), self.errors()):
            with path.open("rb") as file:
                for line in file:
                    yield msgspec.json.decode(line)


class EvaluationJob(TrainingJob):
    """An evaluation in hand. Its metrics say how many of `total` questions are answered."""

    def results(self) -> dict[str, Any]:
        """results.json: `scores` is a list of {task, metric, value, stderr, n, version …}. Raises JobFailed unless the
        job has succeeded."""
        found: dict[str, Any] = msgspec.json.decode(self._left("results.json").read_bytes())
        return found


class AsyncBatchJob(AsyncTrainingJob):
    """BatchJob for a program with an event loop."""

    _over: BatchJob

    async def counts(self) -> dict[str, int]:
        """See BatchJob.counts."""
        return await asyncio.to_thread(self._over.counts)

    async def output(self) -> Path:
        """See BatchJob.output."""
        return await asyncio.to_thread(self._over.output)

    async def errors(self) -> Path:
        """See BatchJob.errors."""
        return await asyncio.to_thread(self._over.errors)

    async def results(self) -> builtins.list[dict[str, Any]]:
        """See BatchJob.results; all of them."""
        return await asyncio.to_thread(lambda: list(self._over.results()))


class AsyncEvaluationJob(AsyncTrainingJob):
    """EvaluationJob for a program with an event loop."""

    _over: EvaluationJob

    async def results(self) -> dict[str, Any]:
        """See EvaluationJob.results."""
        return await asyncio.to_thread(self._over.results)


def handle(queue: JobQueue, job: Job, **about: Any) -> TrainingJob:
    """The handle that suits the job's kind; `about` is what every handle takes."""
    kinds: dict[str, type[TrainingJob]] = {"batch": BatchJob, "evaluate": EvaluationJob}
    return kinds.get(job.kind, TrainingJob)(queue, job, **about)


def asynchronous(job: TrainingJob) -> AsyncTrainingJob:
    if isinstance(job, BatchJob):
        return AsyncBatchJob(job)
    return AsyncEvaluationJob(job) if isinstance(job, EvaluationJob) else AsyncTrainingJob(job)


def keep(requests: Requests, directory: Path, model: str) -> tuple[Path, Inspection]:
    """A checked copy of the requests in `directory`, named after its SHA-256, and what is in it. Raises InvalidData
    with the first faulty lines."""
    from ..bulk.intake import require

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = directory / f".{secrets.token_hex(8)}.jsonl"
    try:
        _copy(requests, partial)
        try:
            found = require(partial, model=model)
        except InvalidData as error:
            where = str(requests) if isinstance(requests, str | Path) else "requests"
            raise InvalidData(error.message.replace(str(partial), where)) from None
        path = directory / f"{found.sha256}.jsonl"
        partial.replace(path)
        return path, found
    except OSError as error:
        raise GenAIStackError(f"can't keep the batch in {directory}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def plan_batch(
    registry: ModelRegistry,
    model: str,
    input: str,
    found: Inspection,
    options: Mapping[str, Any],
    attempt: int,
    source: Callable[[str], str],
) -> JobRequest:
    """The job that runs `model` over the kept file at `input`; `source` says how jobs read a model's source. Raises
    InvalidSpec, and NotFound for an unknown model."""
    from ..bulk.specs import BatchSpec
    from ..protocol.batch_lines import VLLM_ENDPOINTS

    embeds = found.url == "/v1/embeddings"
    if (registry.get(model).task == "embedding") != embeds:
        raise InvalidSpec(
            f"{model!r} doesn't answer {found.url}; take {'an embedding' if embeds else 'a chat'} model"
        )
    about = {"model": _model(registry, model, source), "endpoint": found.url, **_given(options)}
    parsed = convert({**about, "input": input, "output": "output"}, BatchSpec)
    if parsed.engine == "vllm" and parsed.endpoint not in VLLM_ENDPOINTS:
        raise InvalidSpec(f"vllm runs no batch of {parsed.endpoint}; it takes {' and '.join(VLLM_ENDPOINTS)}")
    spec = msgspec.to_builtins(parsed)
    del spec["output"]  # the queue says where
    content = {**spec, "input": found.sha256}
    return JobRequest(_id("batchjob", content, attempt), "batch", spec)


def plan_evaluation(
    registry: ModelRegistry,
    model: str,
    tasks: Sequence[str],
    options: Mapping[str, Any],
    attempt: int,
    source: Callable[[str], str],
) -> JobRequest:
    """The job that evaluates `model`, a name or NAME@VERSION; `source` says how jobs read a model's source. Raises
    InvalidSpec, and NotFound for an unknown model."""
    from ..bulk.specs import EvaluationSpec

    if pick(registry, model).task != "chat":
        raise InvalidSpec(f"{model!r} is for embedding; evaluate a model that generates text")
    given = _given(options)
    if "task_dir" in given:
        given["task_dir"] = str(Path(given["task_dir"]).expanduser().absolute())
    about = {"model": _model(registry, model, source), "tasks": builtins.list(tasks), **given}
    spec = msgspec.to_builtins(convert({**about, "output": "output"}, EvaluationSpec))
    del spec["output"]
    content = {**spec, "definitions": _digest_of(Path(given["task_dir"])) if "task_dir" in given else None}
    return JobRequest(_id("evaljob", content, attempt), "evaluate", spec)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _model(registry: ModelRegistry, name: str, source: Callable[[str], str]) -> dict[str, Any]:
    version = pick(registry, name)
    if version.base is None:
        return {"name": name, "source": source(version.source)}
    base = base_of(registry, version)
    return {"name": name, "source": source(base.source), "adapter": source(version.source)}


def _id(prefix: str, content: Mapping[str, Any], attempt: int) -> str:
    text = msgspec.json.encode({**content, "attempt": attempt}, order="deterministic")
    return f"{prefix}-{hashlib.sha256(text).hexdigest()[:12]}"


def _digest_of(directory: Path) -> str:
    """Tells whether a directory of task definitions is still what it was."""
    if not directory.is_dir():
        raise InvalidSpec(f"task_dir: there is no directory {directory}; name one with task definitions")
    whole = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            whole.update(f"{path.relative_to(directory)}\0".encode())
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def _copy(requests: Requests, partial: Path) -> None:
    with partial.open("xb") as out:
        for line in _lines(requests):
            out.write(line)
        out.flush()
        os.fsync(out.fileno())


def _lines(requests: Requests) -> Iterator[bytes]:
    if not isinstance(requests, str | Path):
        yield from (msgspec.json.encode(request) + b"\n" for request in requests)
        return
    from ..bulk.intake import MAX_BYTES

    try:
        with Path(requests).expanduser().open("rb") as file:
            if (size := file.seek(0, 2)) > MAX_BYTES:
                raise InvalidData(f"{requests}: {size} bytes; a batch has at most {MAX_BYTES}")
            file.seek(0)
            while chunk := file.read(1 << 20):
                yield chunk
    except OSError as error:
        raise InvalidData(f"{requests}: {error.strerror}; give the path of a JSONL file") from None
