"""The bottom layer: data in, jobs out, models at the end."""

from __future__ import annotations

import asyncio
import builtins
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ..errors import InvalidSpec, NotFound
from ..ports import Job, JobRequest, Services
from . import bulk, plan
from .bulk import AsyncBatchJob, AsyncEvaluationJob, BatchJob, EvaluationJob
from .examples import Data
from .jobs import AsyncTrainingJob, TrainingJob
from .places import Place


class Training:
    def __init__(self, services: Services, place: Place) -> None:
        """`place` is where the jobs of `services` run."""
        self._services, self._place = services, place

    def fine_tune(
        self,
        data: Data,
        base: str = "builtin",
        *,
        suffix: str | None = None,
        validation: Data | None = None,
        nodes: int = 1,
        on: str | None = None,
        **options: Any,
    ) -> TrainingJob:
        """Tunes the model `base` on `data`: examples as mappings, or JSONL or Parquet in a file, a directory,
        `s3://bucket/path` or `hf://datasets/org/name[@revision][/path]`.

        The result answers to `ft:<base>:<suffix>:<id>`; the suffix is the file's name unless given. `options` are the
        training program's hyperparameters (`epochs`, `learning_rate`, `batch_size`, `lora_rank` …), `seed`, `threads`
        and `method` ("lora", "qlora", "full" or "dpo"). `nodes` machines share the work, where there are several. A
        stage trains on AWS Batch, or with `on="sagemaker"` as a SageMaker training job (extra `[sagemaker]`).

        The data is checked before anything is submitted (InvalidData lists the faulty lines), and kept. On a stage,
        what is remote is checked by the job instead: `s3://` must be in the stage's artefact bucket and is known by
        what lies there now, `hf://` is pinned to its commit of now. The same request again gives the same job, unless
        that one failed, was cancelled, or its model was deleted since.
        Raises InvalidData, InvalidSpec, NotFound.
        """
        self._place.require(on)
        method = options.get("method") or "lora"
        train = self._place.keep(data, method)
        held = self._place.keep(validation, method) if validation is not None else None
        called = suffix or _suffix(data)
        registry, source = self._services.registry, self._place.source
        return self._submit(
            lambda n: plan.fine_tune(registry, base, called, train, held, options, n, source, nodes, on)
        )

    def run(
        self, spec: str | Path | Mapping[str, Any], *, nodes: int = 1, on: str | None = None
    ) -> TrainingJob:
        """Runs a whole training spec, a TOML or JSON file or its content, on what `fine_tune` runs on. Paths in it are
        taken from the working directory; its `output` is the job's own directory instead. Raises InvalidSpec,
        InvalidData, NotFound."""
        import msgspec

        from ..training.spec import load, parse

        self._place.require(on)
        parsed = load(Path(spec)) if isinstance(spec, str | Path) else parse(dict(spec))
        plain = msgspec.to_builtins(parsed)
        plain["base"] = self._place.source(parsed.base)
        if parsed.architecture and parsed.architecture.tokenizer != "train":
            plain["architecture"]["tokenizer"] = self._place.source(parsed.architecture.tokenizer)
        train = self._place.keep(parsed.data.train, parsed.method)
        held = self._place.keep(parsed.data.validation, parsed.method) if parsed.data.validation else None
        return self._submit(lambda n: plan.run(self._services.registry, plain, train, held, n, nodes, on))

    def batch(self, model: str, requests: bulk.Requests, **options: Any) -> BatchJob:
        """Runs `model` over a file in OpenAI's batch format (or its lines as mappings): one endpoint, and in each body
        this model. `options` are the batch program's `max_in_flight`, `engine`, `threads` and `precision`; on a stage
        vLLM computes, and `max_in_flight` is all there is to say.

        The file is checked before anything is submitted (InvalidData lists the faulty lines), and kept. The same
        request again gives the same job, unless that one failed or was cancelled. Raises InvalidData, InvalidSpec,
        NotFound.
        """
        registry = self._services.registry
        registry.get(model)
        taken = self._place.options("batch", options)
        input, found = self._place.requests(requests, model)
        job = self._submit(
            lambda n: bulk.plan_batch(registry, model, input, found, taken, n, self._place.source)
        )
        return cast(BatchJob, job)

    def evaluate(self, model: str, tasks: Sequence[str], **options: Any) -> EvaluationJob:
        """Scores `model` on lm-eval's `tasks`. `options` are the evaluation program's `limit`, `num_fewshot`,
        `task_dir`, `against` ("api" or "weights"), `batch_size`, `max_in_flight`, `threads`, `precision` and `seed`;
        on a stage it is the weights that are scored, on tasks that lm-eval has. The same request again gives the same
        job, unless that one failed or was cancelled. Raises InvalidSpec, NotFound."""
        taken = self._place.options("evaluate", options)
        named = [tasks] if isinstance(tasks, str) else tasks
        registry = self._services.registry
        job = self._submit(lambda n: bulk.plan_evaluation(registry, model, named, taken, n, self._place.source))
        return cast(EvaluationJob, job)

    def get(self, id: str) -> TrainingJob:
        """The handle that suits the job's kind. Raises NotFound."""
        return self._job(self._services.jobs.get(id))

    def list(self, *, limit: int = 100) -> builtins.list[TrainingJob]:
        """Newest first."""
        return [self._job(job) for job in self._services.jobs.list(limit=limit)]

    def job(self, id: str) -> TrainingJob:
        """As `get`."""
        return self.get(id)

    def jobs(self, *, limit: int = 100) -> builtins.list[TrainingJob]:
        """As `list`."""
        return self.list(limit=limit)

    def _job(self, job: Job) -> TrainingJob:
        place = self._place
        return bulk.handle(self._services.jobs, job, poll=place.poll, option=place.option, fetch=place.fetch)

    def _submit(self, request: Callable[[int], JobRequest]) -> TrainingJob:
        """Submits the first attempt that is new or still of use."""
        attempt = 0
        while self._spent((asked := request(attempt)).id):
            attempt += 1
        return self._job(self._services.jobs.submit(asked))

    def _spent(self, id: str) -> bool:
        try:
            job = self._services.jobs.get(id)
            if job.state == "succeeded" and job.model:
                self._services.registry.get(job.model)
        except NotFound as error:
            return error.code == "model_not_found"
        return job.state in ("failed", "cancelled")


class AsyncTraining:
    """Training for a program with an event loop."""

    def __init__(self, training: Training) -> None:
        self._over = training

    async def fine_tune(
        self,
        data: Data,
        base: str = "builtin",
        *,
        suffix: str | None = None,
        validation: Data | None = None,
        nodes: int = 1,
        on: str | None = None,
        **options: Any,
    ) -> AsyncTrainingJob:
        """See Training.fine_tune."""
        job = await asyncio.to_thread(
            self._over.fine_tune,
            data,
            base,
            suffix=suffix,
            validation=validation,
            nodes=nodes,
            on=on,
            **options,
        )
        return AsyncTrainingJob(job)

    async def run(
        self, spec: str | Path | Mapping[str, Any], *, nodes: int = 1, on: str | None = None
    ) -> AsyncTrainingJob:
        """See Training.run."""
        return AsyncTrainingJob(await asyncio.to_thread(self._over.run, spec, nodes=nodes, on=on))

    async def batch(self, model: str, requests: bulk.Requests, **options: Any) -> AsyncBatchJob:
        """See Training.batch."""
        return AsyncBatchJob(await asyncio.to_thread(self._over.batch, model, requests, **options))

    async def evaluate(self, model: str, tasks: Sequence[str], **options: Any) -> AsyncEvaluationJob:
        """See Training.evaluate."""
        return AsyncEvaluationJob(await asyncio.to_thread(self._over.evaluate, model, tasks, **options))

    async def get(self, id: str) -> AsyncTrainingJob:
        """See Training.get."""
        return bulk.asynchronous(await asyncio.to_thread(self._over.get, id))

    async def list(self, *, limit: int = 100) -> builtins.list[AsyncTrainingJob]:
        """Newest first."""
        return [bulk.asynchronous(job) for job in await asyncio.to_thread(lambda: self._over.list(limit=limit))]

    async def job(self, id: str) -> AsyncTrainingJob:
        """As `get`."""
        return await self.get(id)

    async def jobs(self, *, limit: int = 100) -> builtins.list[AsyncTrainingJob]:
        """As `list`."""
        return await self.list(limit=limit)


def _suffix(data: Data) -> str:
    """A name for what `data` teaches: its file's, as far as a model name allows."""
    if not isinstance(data, str | Path):
        raise InvalidSpec("examples that aren't a file have no name; give a suffix")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(data).stem).strip("-._")[:40] or "tuned"
