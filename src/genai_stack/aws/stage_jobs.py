"""JobQueue of a stage: each job on what it was submitted to, AWS Batch or SageMaker. They share the records."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

from genai_stack.errors import RequestError
from genai_stack.ports import Job, JobQueue, JobRequest, RecordStore

from .job_records import JobRecords
from .jobs import BatchJobs
from .training_jobs import TrainingJobs

SAGEMAKER = "sagemaker"


class StageJobs:
    def __init__(self, records: RecordStore, batch: BatchJobs, sagemaker: TrainingJobs) -> None:
        self._jobs, self._batch, self._sagemaker = JobRecords(records), batch, sagemaker

    def submit(self, request: JobRequest) -> Job:
        """As the port says; `on` is None for Batch, or "sagemaker"."""
        if request.on not in (None, SAGEMAKER):
            raise RequestError(
                f"a stage runs no jobs on {request.on!r}; there is {SAGEMAKER!r}, and AWS Batch without `on`",
                param="on",
            )
        return (self._sagemaker if request.on else self._batch).submit(request)

    def get(self, id: str) -> Job:
        return self._of(id).get(id)

    def list(self, *, after: str | None = None, limit: int = 100) -> builtins.list[Job]:
        entries = self._jobs.list(after, limit)
        seen = self._batch.looked_at(entry for entry in entries if entry.on != SAGEMAKER)
        seen |= self._sagemaker.looked_at(entry for entry in entries if entry.on == SAGEMAKER)
        return [seen.get(entry.id, entry).job for entry in entries]

    def cancel(self, id: str) -> Job:
        return self._of(id).cancel(id)

    def pause(self, id: str) -> Job:
        return self._of(id).pause(id)

    def resume(self, id: str) -> Job:
        return self._of(id).resume(id)

    def events(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        return self._of(id).events(id, after=after)

    def metrics(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        return self._of(id).metrics(id, after=after)

    def log(self, id: str) -> str:
        return self._of(id).log(id)

    def output(self, id: str, name: str) -> Iterator[bytes]:
        return self._of(id).output(id, name)

    def close(self) -> None:
        """Closes idle connections. Jobs run on."""
        self._batch.close()
        self._sagemaker.close()

    def _of(self, id: str) -> JobQueue:
        """Raises NotFound."""
        return self._sagemaker if self._jobs.get(id).on == SAGEMAKER else self._batch
