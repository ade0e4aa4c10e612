"""OpenAI's fine-tuning jobs, as they go over the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from .files import FileId
from .requests import Metadata, ModelName

Auto = Literal["auto"]
BatchSize = Auto | Annotated[int, Meta(ge=1, le=4096)]
Multiplier = Auto | Annotated[float, Meta(gt=0, le=1000)]
Epochs = Auto | Annotated[int, Meta(ge=1, le=1000)]
Beta = Auto | Annotated[float, Meta(gt=0, le=100)]
Suffix = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Hyperparameters(Struct, frozen=True, forbid_unknown_fields=True):
    """`auto` leaves each to the training program. The multiplier is of the method's own learning rate."""

    batch_size: BatchSize | None = "auto"
    learning_rate_multiplier: Multiplier | None = "auto"
    n_epochs: Epochs | None = "auto"


class DpoHyperparameters(Struct, frozen=True, forbid_unknown_fields=True):
    """As Hyperparameters; `beta` says how strongly the model is held to its base."""

    batch_size: BatchSize | None = "auto"
    beta: Beta | None = "auto"
    learning_rate_multiplier: Multiplier | None = "auto"
    n_epochs: Epochs | None = "auto"


class Supervised(Struct, frozen=True, forbid_unknown_fields=True):
    hyperparameters: Hyperparameters | None = None


class Dpo(Struct, frozen=True, forbid_unknown_fields=True):
    hyperparameters: DpoHyperparameters | None = None


class Method(Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["supervised", "dpo"]
    supervised: Supervised | None = None
    dpo: Dpo | None = None


class Integration(Struct, frozen=True):
    """None is offered; naming one is refused."""

    type: str


class TuningRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """POST /v1/fine_tuning/jobs. `hyperparameters` is the older place for those of the supervised method."""

    model: ModelName
    training_file: FileId
    validation_file: FileId | None = None
    suffix: Suffix | None = None
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    integrations: list[Integration] | None = None
    metadata: Metadata | None = None


class TuningError(Struct, frozen=True):
    code: str
    message: str
    param: str | None = None


TuningStatus = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]


class TuningJob(Struct, frozen=True):
    """Times are Unix seconds. `fine_tuned_model` is a name for `model` in a request. `paused`, which OpenAI's object
    hasn't: the job is queued until it is resumed."""

    id: str
    created_at: int
    model: str
    training_file: str
    status: TuningStatus
    organization_id: str
    seed: int
    hyperparameters: Hyperparameters
    method: Method
    result_files: list[str]
    validation_file: str | None = None
    fine_tuned_model: str | None = None
    finished_at: int | None = None
    estimated_finish: int | None = None
    trained_tokens: int | None = None
    error: TuningError | None = None
    metadata: Metadata | None = None
    paused: bool = False
    integrations: list[Integration] = []
    object: Literal["fine_tuning.job"] = "fine_tuning.job"


class TuningJobList(Struct, frozen=True):
    data: list[TuningJob]
    has_more: bool
    object: Literal["list"] = "list"


class TuningEvent(Struct, frozen=True):
    """`data` of a metrics event has `step`, `total_steps`, `train_loss`, and `valid_loss` where it was measured."""

    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"


class TuningEventList(Struct, frozen=True):
    data: list[TuningEvent]
    has_more: bool
    object: Literal["list"] = "list"


class CheckpointMetrics(Struct, frozen=True):
    step: float
    train_loss: float | None = None
    valid_loss: float | None = None
    full_valid_loss: float | None = None


class TuningCheckpoint(Struct, frozen=True):
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: CheckpointMetrics
    step_number: int
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"


class TuningCheckpointList(Struct, frozen=True):
    data: list[TuningCheckpoint]
    has_more: bool
    first_id: str | None = None
    last_id: str | None = None
    object: Literal["list"] = "list"
