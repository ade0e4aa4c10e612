"""A tenant's batches. Each is a record that is made first and a job that is submitted after it; whoever looks at one
brings it to where its job is, so that nothing is lost with the process that began it.

A batch says that it runs before its job is submitted, and a job is cancelled only once the queue knows it: so no job
comes up behind a cancel's back.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, cast

import msgspec

from ...errors import Conflict, GenAIStackError, NotFound, ObjectNotFound, RequestError
from ...ports import Job, JobQueue, JobRequest, ModelRegistry, RecordStore
from ...protocol.batch_lines import Inspection, examine
from ...protocol.batches import BatchCounts, BatchError, BatchRequest
from ...registry import base_of
from ...task_prompts.overrides import TasksConfig
from ..charging import Charges, ran
from ..principal import Principal
from ..usage import NOTHING, Used
from . import batch_records as records_of
from .batch_outputs import ERRORS, OUTPUT, partial, whole
from .batch_records import StoredBatch
from .files import Files, StoredFile
from .making import made_once
from .once import Once
from .shelf import Found, Page, Shelf


class Batches:
    """All of it waits on stores: call it in a thread."""

    def __init__(
        self,
        files: Files,
        records: RecordStore,
        jobs: JobQueue,
        registry: ModelRegistry,
        once: Once,
        charges: Charges | None = None,
        endpoints: tuple[str, ...] | None = None,
        tasks: TasksConfig = TasksConfig(),  # noqa: B008 - frozen
    ) -> None:
        """`endpoints` are those that `jobs` can run a batch for; None: all."""
        self._charges, self._endpoints, self._tasks = charges, endpoints, tasks
        self._files, self._jobs, self._registry, self._once = files, jobs, registry, once
        self._shelf = Shelf(records, StoredBatch, "batches", "batch_", "batch")
        files.busy["batch_"] = self.busy

    def create(
        self, tenant: str, request: BatchRequest, key: bytes | None, by: Principal | None = None
    ) -> StoredBatch:
        """The batch, asked for by `by` and looked over whole: where a line is at fault it has failed, and says which.
        Raises NotFound for the file, RequestError, Conflict."""
        if self._endpoints is not None and request.endpoint not in self._endpoints:
            raise RequestError(
                f"Batches here are for {' and '.join(self._endpoints)}, not for {request.endpoint}; write its "
                "lines for one of them.",
                param="endpoint",
                code="unsupported_endpoint",
            )

        def begun(id: str) -> StoredBatch:
            self._files.require(tenant, request.input_file_id, "batch", "input_file_id")
            return records_of.begun(id, request, by)

        asked = f"batches {request}"
        return self.get(tenant, made_once(self._once, self._shelf, tenant, key, asked, begun))

    def get(self, tenant: str, id: str) -> StoredBatch:
        """As its job is now. Raises NotFound."""
        return self._looked_at(tenant, self._shelf.get(tenant, id))

    def page(self, tenant: str, page: Page) -> Found[StoredBatch]:
        found = self._shelf.page(tenant, page)
        return Found([self._looked_at(tenant, batch) for batch in found.items], found.has_more)

    def cancel(self, tenant: str, id: str) -> StoredBatch:
        """Returns when the job's end is ordered; what was answered until then is kept. Final; nothing happens to a
        batch that was cancelled. Raises NotFound, and Conflict for one that has ended otherwise."""
        made = self._files.new_id(), self._files.new_id()
        batch = self._shelf.change(tenant, id, lambda now: records_of.ending(now, "cancelled", made))
        if "cancelled" not in (batch.status, batch.ending):
            raise Conflict(f"This batch is {batch.status}; it can't be cancelled.", code="batch_ended")
        return self._looked_at(tenant, batch)

    def busy(self, tenant: str, id: str) -> bool:
        batch = self._shelf.find(tenant, id)
        return batch is not None and not self._looked_at(tenant, batch).ended

    def _looked_at(self, tenant: str, batch: StoredBatch) -> StoredBatch:
        """The batch a step or more further, where there is one to take. What a store or the queue can't do now, the
        next look does."""
        with suppress(GenAIStackError):
            if batch.status == "validating":
                batch = self._validated(tenant, batch)
            if batch.status == "in_progress" and not batch.ending:
                batch = self._followed(tenant, batch)
            if batch.ending and not batch.ended:
                batch = self._finished(tenant, batch)
        return batch

    def _validated(self, tenant: str, batch: StoredBatch) -> StoredBatch:
        """Failed or in progress; the latter is a promise to submit the job."""
        fault, after = None, batch
        try:
            file = self._files.use(tenant, batch.input_file_id, batch.id)
            found = self._inspected(file, batch)
            if found.faulty:
                errors = [BatchError(f.code, f.message, f.line, f.param) for f in found.faults]
                return self._shelf.change(tenant, batch.id, lambda now: _refused(now, *errors))
            model = self._model(found.model or "", batch)
        except RequestError as error:
            fault = BatchError(error.code or "invalid_request", error.message, None, error.param)
        if fault is not None:
            after = self._shelf.change(tenant, batch.id, lambda now: _refused(now, fault))
            return after
        counts = BatchCounts(found.lines)

        def begun(now: StoredBatch) -> StoredBatch:
            if now.status != "validating":
                return now
            return records_of.moved(now, "in_progress", model=model, counts=counts)

        return self._shelf.change(tenant, batch.id, begun)

    def _inspected(self, file: StoredFile, batch: StoredBatch) -> Inspection:
        try:
            content = io.BufferedReader(_Stream(self._files.read(file)), 1 << 20)
        except ObjectNotFound:
            raise self._files.absent(file.id) from None
        with content:
            return examine(cast(BinaryIO, content), file.bytes, endpoint=batch.endpoint)

    def _model(self, name: str, batch: StoredBatch) -> dict[str, str]:
        """What the job is told of the model. Raises RequestError."""
        batch.by.check_model(name, param="body.model")
        version = self._registry.get(name)
        if version.task != ("embedding" if batch.endpoint == "/v1/embeddings" else "chat"):
            raise RequestError(
                f"'{name}' is for {version.task}, so it doesn't answer {batch.endpoint}; name another model.",
                param="body.model",
                code="model_task_mismatch",
            )
        if version.base is None:
            return {"name": name, "source": version.source}
        return {"name": name, "source": base_of(self._registry, version).source, "adapter": version.source}

    def _submitted(self, tenant: str, batch: StoredBatch) -> None:
        """The queue knows the job from here on. Raises what the queue raises."""
        try:
            self._jobs.get(batch.job)
            return
        except NotFound:
            file = self._files.use(tenant, batch.input_file_id, batch.id)
        spec = {
            "model": batch.model,
            "input": self._files.objects.address(file.blob),
            "endpoint": batch.endpoint,
            "engine": "auto",
        }
        if self._tasks != TasksConfig():
            spec["tasks"] = msgspec.to_builtins(self._tasks)
        self._jobs.submit(JobRequest(batch.job, "batch", spec))

    def _followed(self, tenant: str, batch: StoredBatch) -> StoredBatch:
        try:
            self._submitted(tenant, batch)
        except GenAIStackError:
            if self._jobs.get(batch.job).state != "failed":  # a job that was refused tells of it itself
                raise
        job = self._jobs.get(batch.job)
        told = self._jobs.metrics(batch.job)[-1:]
        made = self._files.new_id(), self._files.new_id()

        def seen(now: StoredBatch) -> StoredBatch:
            for line in told:
                now = records_of.counted(now, line)
            if job.state == "failed":
                reason = job.error or "the job ended without a reason; send the batch again"
                reason = reason.replace(str(job.spec.get("input")), batch.input_file_id)
                return now if now.ending else records_of.failed(now, BatchError("job_failed", reason))
            if job.state == "succeeded":
                return records_of.ending(now, "completed", made)
            if job.state == "cancelled":
                return records_of.ending(now, "cancelled", made)
            return records_of.ending(now, "expired", made) if time.time() >= batch.expires_at else now

        if job.state == "failed":
            self._charged(tenant, seen(batch), job)
        return self._shelf.change(tenant, batch.id, seen)

    def _finished(self, tenant: str, batch: StoredBatch) -> StoredBatch:
        """Its outputs as files, under the ids that were chosen, and then its end."""
        if batch.ending != "completed":
            self._submitted(tenant, batch)
            self._jobs.cancel(batch.job)
            told = self._jobs.metrics(batch.job)[-1:]
            batch = self._shelf.change(
                tenant, batch.id, lambda now: records_of.counted(now, told[0]) if told else now
            )
        self._charged(tenant, batch, self._jobs.get(batch.job))
        read = whole if batch.ending == "completed" else partial
        kept = [
            self._kept(tenant, batch, id, name, read(self._jobs, batch.job, name))
            for id, name in zip(batch.made or (), (OUTPUT, ERRORS), strict=True)
        ]
        return self._shelf.change(tenant, batch.id, lambda now: records_of.ended(now, kept[0], kept[1]))

    def _charged(self, tenant: str, batch: StoredBatch, job: Job) -> None:
        """What it used goes to the ledger before its end is noted: whoever looks again, it counts once."""
        used = Used(batch.usage.input_tokens, batch.usage.output_tokens)
        if self._charges is None or used == NOTHING or batch.model is None:
            return
        name = batch.model["name"]
        try:
            base = self._registry.get(name).base
        except NotFound:  # deleted meanwhile
            base = None
        self._charges.batch(
            id=batch.id,
            tenant=tenant,
            key=batch.key or tenant,
            model=name,
            base=base,
            used=used,
            ended=job.finished or batch.created_at,  # the same whoever looks: its day is part of the entry's id
            began=batch.created_at,
            ran=ran(job),
        )

    def _kept(
        self, tenant: str, batch: StoredBatch, id: str, name: str, content: Iterator[bytes]
    ) -> str | None:
        """The id of the file with `content`; None where there is none."""
        if self._files.find(tenant, id) is not None:
            return id
        blob = self._files.store(content)
        if not blob.bytes:
            self._files.drop(blob)
            return None
        called = f"{batch.id}_{name}"
        file = self._files.made(tenant, id, blob, called, "batch_output", batch.output_expires_after)
        if file.blob != blob.key:
            self._files.drop(blob)
        return id


def _refused(now: StoredBatch, *errors: BatchError) -> StoredBatch:
    """Failed, unless somebody else went further or cancelled it meanwhile."""
    return records_of.failed(now, *errors) if now.status == "validating" else now


class _Stream(io.RawIOBase):
    """Chunks as a file to read."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            if (chunk := next(self._chunks, None)) is None:
                return 0
            self._rest = chunk
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
