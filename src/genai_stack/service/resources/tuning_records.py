"""A fine-tuning job as it is kept, and the ways it may go: validating_files → queued → running → succeeded, failed or
cancelled. A pause leads back to queued, where the job stays until it is resumed into its next life. What has ended
stays as it is, whoever looks and however often.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec

from ...errors import RequestError
from ...learning_rates import DEFAULTS
from ...ports import FINAL_STATES, Job, ModelVersion
from ...protocol.tuning import (
    Dpo,
    DpoHyperparameters,
    Hyperparameters,
    Method,
    Supervised,
    TuningError,
    TuningJob,
    TuningRequest,
    TuningStatus,
)
from ...registry import tuned

RANK: dict[TuningStatus, int] = {
    "validating_files": 0, "queued": 1, "running": 2, "succeeded": 3, "failed": 3, "cancelled": 3,
}  # fmt: skip
DEFAULT_SUFFIX = "tuned"
KEPT_EPOCHS = 3
"""The last epochs of a job of which each leaves a model."""


class KeptCheckpoint(msgspec.Struct, frozen=True):
    """What the job was after `step`, as the model of that name."""

    step: int
    created_at: int
    model: str


class StoredTuning(msgspec.Struct, frozen=True):
    """`source` is what the job is told of its base, `parent` is that base (NAME@VERSION). `promised`: its job is to be
    submitted, or was. `stopping`: it is to be cancelled. `results` is the id chosen for its results file, `kept`
    whether that is there. `key` is the id of the API key it was asked for with. `holding`: it is to be paused, or is;
    `paused`: the queue holds it; `resuming`: it is to be resumed. `life` counts the resumes.
    `checkpoints` are noted with its end."""

    id: str
    created_at: int
    model: str
    source: str
    training_file: str
    validation_file: str | None
    suffix: str
    seed: int
    method: Method
    metadata: dict[str, str] | None
    results: str
    status: TuningStatus = "validating_files"
    promised: bool = False
    stopping: bool = False
    fine_tuned_model: str | None = None
    finished_at: int | None = None
    estimated_finish: int | None = None
    trained_tokens: int | None = None
    error: TuningError | None = None
    kept: bool = False
    parent: str | None = None
    key: str | None = None
    holding: bool = False
    paused: bool = False
    resuming: bool = False
    life: int = 0
    checkpoints: tuple[KeptCheckpoint, ...] = ()

    @property
    def ended(self) -> bool:
        return self.status in FINAL_STATES

    def shown(self, tenant: str) -> TuningJob:
        given = self.method.supervised and self.method.supervised.hyperparameters
        return TuningJob(
            id=self.id,
            created_at=self.created_at,
            model=self.model,
            training_file=self.training_file,
            status=self.status,
            organization_id=tenant,
            seed=self.seed,
            hyperparameters=given or Hyperparameters(),
            method=self.method,
            result_files=[self.results] if self.kept else [],
            validation_file=self.validation_file,
            fine_tuned_model=self.fine_tuned_model,
            finished_at=self.finished_at,
            estimated_finish=None if self.ended or self.paused else self.estimated_finish,
            trained_tokens=self.trained_tokens,
            error=self.error,
            metadata=self.metadata,
            paused=self.paused,
        )

    def promises(self, data: str | None) -> ModelVersion:
        """The model that is to come of it, out of data with that SHA-256."""
        base = ModelVersion(self.model, self.source)
        made = tuned(base, self.suffix, self.id, data)
        return msgspec.structs.replace(made, parent=self.parent)

    def spec(self, training: str, validation: str | None) -> dict[str, Any]:
        """The training program's, with the addresses of its data."""
        dpo = self.method.dpo and self.method.dpo.hyperparameters
        given = dpo or (self.method.supervised and self.method.supervised.hyperparameters)
        method = "dpo" if self.method.type == "dpo" else "lora"
        told: dict[str, Any] = {}
        if given:
            told = {"epochs": _told(given.n_epochs), "batch_size": _told(given.batch_size)}
            if (times := _told(given.learning_rate_multiplier)) is not None:
                told["learning_rate"] = DEFAULTS[method] * times
        if dpo:
            told["dpo_beta"] = _told(dpo.beta)
        data = {"train": training, **({"validation": validation} if validation else {})}
        return {
            "name": self.suffix,
            "method": method,
            "base": self.source,
            "data": data,
            "seed": self.seed,
            "keep_epochs": KEPT_EPOCHS,
            "hyperparameters": {name: value for name, value in told.items() if value is not None},
        }


def begun(
    id: str, request: TuningRequest, base: ModelVersion, results: str, key: str | None = None
) -> StoredTuning:
    """Raises RequestError for a method that contradicts itself."""
    return StoredTuning(
        id=id,
        created_at=int(time.time()),
        model=request.model,
        source=base.source,
        training_file=request.training_file,
        validation_file=request.validation_file,
        suffix=request.suffix or DEFAULT_SUFFIX,
        seed=secrets.randbelow(2**31) if request.seed is None else request.seed,
        method=_method(request),
        metadata=request.metadata,
        results=results,
        parent=base.reference,
        key=key,
    )


def failed(job: StoredTuning, error: TuningError) -> StoredTuning:
    if job.ended:
        return job
    return msgspec.structs.replace(
        job, status="failed", error=error, finished_at=int(time.time()), holding=False, paused=False
    )


def stopped(job: StoredTuning) -> StoredTuning:
    """On its way to be cancelled; at its end at once where no job was promised."""
    if job.ended:
        return job
    if not job.promised:
        return msgspec.structs.replace(
            job, status="cancelled", finished_at=int(time.time()), holding=False, paused=False
        )
    return msgspec.structs.replace(job, stopping=True)


def held(job: StoredTuning) -> StoredTuning:
    """On its way to be paused."""
    if job.ended or job.stopping:
        return job
    return msgspec.structs.replace(job, holding=True, resuming=False)


def kept_back(job: StoredTuning) -> StoredTuning:
    """Paused before it came into the queue."""
    return msgspec.structs.replace(job, paused=True) if job.holding and not job.ended else job


def released(job: StoredTuning) -> StoredTuning:
    """On its way to be resumed, where it is paused or on its way there."""
    if job.ended or job.stopping or not (job.holding or job.paused):
        return job
    return msgspec.structs.replace(job, holding=False, paused=False, resuming=True, life=job.life + 1)


def followed(
    now: StoredTuning,
    job: Job,
    error: TuningError | None,
    tokens: int | None,
    finish: int | None,
    kept: bool,
    *,
    checkpoints: tuple[KeptCheckpoint, ...] = (),
    life: int = 0,
    resumed: bool = False,
) -> StoredTuning:
    """After a look at the queue's job, in the life that the job had when the look began. Whichever order looks are
    noted in, a job goes back from where it is by a pause alone."""
    if now.ended or (life != now.life and job.state not in FINAL_STATES):
        return now
    if resumed:
        now = msgspec.structs.replace(now, resuming=False)
    if job.state == "paused":
        return now if now.resuming else msgspec.structs.replace(now, status="queued", paused=True)
    status: TuningStatus = job.state
    if RANK[status] < RANK[now.status] or (now.paused and status == "running"):
        return now
    after = msgspec.structs.replace(now, status=status, estimated_finish=finish or now.estimated_finish)
    if not after.ended:
        return after
    return msgspec.structs.replace(
        after,
        finished_at=int(job.finished or time.time()),
        fine_tuned_model=job.model if status == "succeeded" else None,
        trained_tokens=tokens,
        error=error if status == "failed" else None,
        kept=kept,
        checkpoints=checkpoints,
        holding=False,
        paused=False,
        resuming=False,
    )


def _method(request: TuningRequest) -> Method:
    given = request.method or Method("supervised")
    if given.type == "dpo":
        for name, value in (
            ("method.supervised", given.supervised),
            ("hyperparameters", request.hyperparameters),
        ):
            if value is not None:
                raise _contradiction(name, "is for supervised fine-tuning, and the method is dpo")
        return Method("dpo", dpo=Dpo((given.dpo and given.dpo.hyperparameters) or DpoHyperparameters()))
    if given.dpo is not None:
        raise _contradiction("method.dpo", "is for dpo, and the method is supervised")
    inner = given.supervised and given.supervised.hyperparameters
    if inner and request.hyperparameters and inner != request.hyperparameters:
        raise _contradiction("hyperparameters", "differs from what 'method' says")
    return Method("supervised", supervised=Supervised(inner or request.hyperparameters or Hyperparameters()))


def _contradiction(param: str, what: str) -> RequestError:
    return RequestError(f"'{param}' {what}; leave one of them out.", param=param, code="invalid_value")


def _told(value: Any) -> Any:
    return None if value in (None, "auto") else value
