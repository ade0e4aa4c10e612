"""A batch as it is kept, and the ways it may go: validating → in_progress → finalizing → completed, with failed,
cancelled and expired beside the way. What has ended stays as it is, whoever looks and however often.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ...protocol.batch_lines import Endpoint
from ...protocol.batches import (
    Batch,
    BatchCounts,
    BatchError,
    BatchErrors,
    BatchRequest,
    BatchStatus,
    BatchUsage,
)
from ...protocol.files import ExpiresAfter
from ..principal import Principal

WINDOW_SECONDS = 86_400
ENDED: frozenset[BatchStatus] = frozenset(("completed", "failed", "cancelled", "expired"))
Ending = Literal["completed", "cancelled", "expired"]


class StoredBatch(msgspec.Struct, frozen=True):
    """`model` is what the job is told of it. `ending` is how it ends once its outputs are kept, under the ids of
    `made` (output, errors) that were chosen before. `at` holds when a status was reached. `key` is the
    id of the API key it was asked for with, `models` are those that key may use."""

    id: str
    created_at: int
    input_file_id: str
    endpoint: Endpoint
    metadata: dict[str, str] | None
    output_expires_after: ExpiresAfter | None
    status: BatchStatus = "validating"
    at: dict[str, int] = {}
    model: dict[str, str] | None = None
    counts: BatchCounts = BatchCounts()
    usage: BatchUsage = BatchUsage()
    errors: tuple[BatchError, ...] = ()
    ending: Ending | None = None
    made: tuple[str, str] | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    key: str | None = None
    models: tuple[str, ...] | None = None

    @property
    def job(self) -> str:
        """The id of its job in the queue."""
        return f"batchjob-{self.id.rpartition('_')[2]}"

    @property
    def by(self) -> Principal:
        """Who asked for it, as far as its models go."""
        return Principal(self.key or "", "", "", (), self.models)

    @property
    def expires_at(self) -> int:
        return self.created_at + WINDOW_SECONDS

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def shown(self) -> Batch:
        times: dict[str, Any] = {f"{status}_at": when for status, when in self.at.items()}
        return Batch(
            id=self.id,
            endpoint=self.endpoint,
            input_file_id=self.input_file_id,
            completion_window="24h",
            status=self.status,
            created_at=self.created_at,
            expires_at=self.expires_at,
            request_counts=self.counts,
            model=self.model["name"] if self.model else None,
            errors=BatchErrors(list(self.errors)) if self.errors else None,
            output_file_id=self.output_file_id,
            error_file_id=self.error_file_id,
            usage=self.usage if self.usage.total_tokens else None,
            metadata=self.metadata,
            **times,
        )


def begun(id: str, request: BatchRequest, by: Principal | None = None) -> StoredBatch:
    return StoredBatch(
        id,
        int(time.time()),
        request.input_file_id,
        request.endpoint,
        request.metadata,
        request.output_expires_after,
        key=by.id if by else None,
        models=by.models if by else None,
    )


def moved(batch: StoredBatch, status: BatchStatus, **more: Any) -> StoredBatch:
    at = {status: int(time.time()), **batch.at}
    return msgspec.structs.replace(batch, status=status, at=at, **more)


def failed(batch: StoredBatch, *errors: BatchError) -> StoredBatch:
    return batch if batch.ended else moved(batch, "failed", errors=errors)


def ending(batch: StoredBatch, how: Ending, made: tuple[str, str]) -> StoredBatch:
    """On its way to `how`, unless it is on its way elsewhere. What was never begun ends at once."""
    if batch.ended or batch.ending:
        return batch
    if batch.status == "validating":
        return moved(batch, how)
    on_the_way: dict[Ending, BatchStatus] = {"completed": "finalizing", "cancelled": "cancelling"}
    return moved(batch, on_the_way.get(how, batch.status), ending=how, made=made)


def ended(batch: StoredBatch, output: str | None, errors: str | None) -> StoredBatch:
    if batch.ended or batch.ending is None:
        return batch
    return moved(batch, batch.ending, output_file_id=output, error_file_id=errors)


def counted(batch: StoredBatch, told: Mapping[str, Any]) -> StoredBatch:
    """With a line of the job's metrics, which never take anything back."""
    if batch.ended:
        return batch

    def most(name: str, before: int) -> int:
        value = told.get(name)
        return max(before, value) if isinstance(value, int) else before

    counts, usage = batch.counts, batch.usage
    tokens = most("prompt_tokens", usage.input_tokens), most("completion_tokens", usage.output_tokens)
    return msgspec.structs.replace(
        batch,
        counts=BatchCounts(counts.total, most("completed", counts.completed), most("failed", counts.failed)),
        usage=BatchUsage(*tokens, sum(tokens)),
    )
