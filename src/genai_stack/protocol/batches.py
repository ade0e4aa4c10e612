"""OpenAI's batches, as they go over the wire."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .batch_lines import Endpoint
from .files import ExpiresAfter, FileId
from .requests import Metadata


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/batches. `output_expires_after` counts from when the output files are made."""

    input_file_id: FileId
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchError(Struct, frozen=True):
    """`line` is 1-based; None where no line is to blame."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchErrors(Struct, frozen=True):
    data: list[BatchError]
    object: Literal["list"] = "list"


class BatchCounts(Struct, frozen=True):
    total: int = 0
    completed: int = 0
    failed: int = 0


class InputDetails(Struct, frozen=True):
    cached_tokens: int = 0


class OutputDetails(Struct, frozen=True):
    reasoning_tokens: int = 0


class BatchUsage(Struct, frozen=True):
    """Tokens, as the answers count them. The details aren't counted, and stay 0."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: InputDetails = InputDetails()
    output_tokens_details: OutputDetails = OutputDetails()


BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]


class Batch(Struct, frozen=True):
    """Times are Unix seconds."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    status: BatchStatus
    created_at: int
    expires_at: int
    request_counts: BatchCounts
    model: str | None = None
    errors: BatchErrors | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    usage: BatchUsage | None = None
    metadata: Metadata | None = None
    object: Literal["batch"] = "batch"


class BatchList(Struct, frozen=True):
    data: list[Batch]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None
    object: Literal["list"] = "list"
