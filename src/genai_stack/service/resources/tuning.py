"""A tenant's fine-tuning jobs: a record that is made first, and a job of the queue that is submitted after it, which
whoever looks at one keeps up with.

As with batches, a record promises its job before that is submitted, and a job is cancelled only once the queue knows
it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from ...errors import Conflict, GenAIStackError, NotFound, RequestError
from ...ports import FINAL_STATES, Job, JobQueue, JobRequest, ModelRegistry, ModelVersion, RecordStore
from ...protocol.tuning import TuningCheckpoint, TuningError, TuningEvent, TuningRequest
from ...registry import register_checkpoints
from ..charging import Charges, ran
from . import tuning_events, tuning_records
from .files import Files
from .making import made_once
from .once import Once
from .shelf import Found, Page, Shelf, behind
from .tuning_records import KeptCheckpoint, StoredTuning


class Tuning:
    """All of it waits on stores: call it in a thread."""

    def __init__(
        self,
        files: Files,
        records: RecordStore,
        jobs: JobQueue,
        registry: ModelRegistry,
        once: Once,
        charges: Charges | None = None,
    ) -> None:
        self._charges = charges
        self._files, self._jobs, self._registry, self._once = files, jobs, registry, once
        self._shelf = Shelf(records, StoredTuning, "tuning", "ftjob-", "fine-tuning job")
        files.busy["ftjob-"] = self.busy

    def create(
        self, tenant: str, request: TuningRequest, key: bytes | None, by: str | None = None
    ) -> StoredTuning:
        """The job, asked for by the API key `by`. What its data holds is looked at when it runs. Raises NotFound for a
        file or the model, RequestError, Conflict."""

        def begun(id: str) -> StoredTuning:
            for param in ("training_file", "validation_file"):
                if (file := getattr(request, param)) is not None:
                    self._files.require(tenant, file, "fine-tune", param)
            for integration in request.integrations or ():
                raise RequestError(
                    f"'{integration.type[:80]}' isn't offered here; leave it out, and read the job's events.",
                    param="integrations",
                    code="unsupported_integration",
                )
            return tuning_records.begun(id, request, self._base(request.model), self._files.new_id(), by)

        asked = f"tuning {request}"
        return self.get(tenant, made_once(self._once, self._shelf, tenant, key, asked, begun))

    def get(self, tenant: str, id: str) -> StoredTuning:
        """As its job is now. Raises NotFound."""
        return self._looked_at(tenant, self._shelf.get(tenant, id))

    def page(self, tenant: str, page: Page, keep: Callable[[StoredTuning], bool]) -> Found[StoredTuning]:
        found = self._shelf.page(tenant, page, keep)
        return Found([self._looked_at(tenant, job) for job in found.items], found.has_more)

    def cancel(self, tenant: str, id: str) -> StoredTuning:
        """Returns when the job's end is ordered. Final; nothing happens to a job that was cancelled. Raises NotFound,
        and Conflict for one that has ended otherwise."""
        job = self._looked_at(tenant, self._shelf.change(tenant, id, tuning_records.stopped))
        if job.status not in ("cancelled",) and (job.ended or not job.stopping):
            raise Conflict(f"This job has {job.status}; it can't be cancelled.", code="job_ended")
        return job

    def pause(self, tenant: str, id: str) -> StoredTuning:
        """Returns when the pause is ordered; the job keeps what it has learned, and waits for `resume`. Nothing happens
        to a job that is paused. Raises NotFound, and Conflict for one that has ended or is being cancelled."""
        job = self._looked_at(tenant, self._shelf.change(tenant, id, tuning_records.held))
        if not job.holding:
            raise Conflict(f"This job has {_way(job)}; it can't be paused.", code="job_ended")
        return job

    def resume(self, tenant: str, id: str) -> StoredTuning:
        """It goes on from the newest checkpoint. Nothing happens to a job that isn't paused. Raises NotFound, and
        Conflict for one that has ended or is being cancelled."""
        job = self._shelf.change(tenant, id, tuning_records.released)
        if job.ended or job.stopping:
            raise Conflict(f"This job has {_way(job)}; it can't be resumed.", code="job_ended")
        return self._looked_at(tenant, job)

    def events(self, tenant: str, id: str, page: Page) -> Found[TuningEvent]:
        """Newest first. Raises NotFound, and RequestError for a cursor that is none of the job's."""
        job = self.get(tenant, id)
        told, measured = self._told(job)
        found = tuning_events.events(job, told, measured, self._addresses(job))[::-1]
        found = behind(found, page.after)
        return Found(found[: page.limit], len(found) > page.limit)

    def checkpoints(self, tenant: str, id: str, page: Page) -> Found[TuningCheckpoint]:
        """Those that a request may name, the newest first. Raises NotFound."""
        job = self.get(tenant, id)
        found = tuning_events.checkpoints(job, self._told(job)[1])
        if page.after is not None:
            found = [one for one in found if one.id < page.after]
        there = [one for one in found if self._is_model(one.fine_tuned_model_checkpoint)]
        return Found(there[: page.limit], len(there) > page.limit)

    def _is_model(self, name: str) -> bool:
        try:
            self._registry.get(name)
        except NotFound:  # deleted since
            return False
        return True

    def busy(self, tenant: str, id: str) -> bool:
        job = self._shelf.find(tenant, id)
        return job is not None and not self._looked_at(tenant, job).ended

    def _base(self, name: str) -> ModelVersion:
        """What is tuned: the base as it is live now. Raises NotFound, and RequestError for one that can't be tuned."""
        version = self._registry.get(name)
        if version.task != "chat" or version.base is not None:
            what = "a fine-tune itself" if version.base else f"for {version.task}"
            raise RequestError(
                f"'{name}' is {what}; name a whole chat model.", param="model", code="model_not_tunable"
            )
        return version

    def _looked_at(self, tenant: str, job: StoredTuning) -> StoredTuning:
        """The job a step or more further, where there is one to take. What a store or the queue can't do now, the next
        look does."""
        if job.ended:
            return job
        with suppress(GenAIStackError):
            if not job.promised:
                job = self._promised(tenant, job)
            if job.promised and not job.ended:
                job = self._followed(tenant, job)
        return job

    def _promised(self, tenant: str, job: StoredTuning) -> StoredTuning:
        for param in ("training_file", "validation_file"):
            try:
                if (id := getattr(job, param)) is not None:
                    self._files.use(tenant, id, job.id)
            except NotFound as error:
                return self._shelf.change(
                    tenant,
                    job.id,
                    partial(_refused, fault=TuningError("file_not_found", error.message, param)),
                )

        def promised(now: StoredTuning) -> StoredTuning:
            return now if now.ended else msgspec.structs.replace(now, promised=True)

        return self._shelf.change(tenant, job.id, promised)

    def _submitted(self, tenant: str, job: StoredTuning) -> None:
        """The queue knows the job from here on. Raises what the queue raises."""
        if self._known(job):
            return
        train = self._files.use(tenant, job.training_file, job.id)
        held = self._files.use(tenant, job.validation_file, job.id) if job.validation_file else None
        address = self._files.objects.address
        spec = job.spec(address(train.blob), address(held.blob) if held else None)
        try:
            self._jobs.submit(JobRequest(job.id, "train", spec, job.promises(train.sha256)))
        except GenAIStackError:
            if self._jobs.get(job.id).state != "failed":  # a job that was refused tells of it itself
                raise

    def _known(self, job: StoredTuning) -> bool:
        """Whether the queue knows it."""
        try:
            self._jobs.get(job.id)
        except NotFound:
            return False
        return True

    def _driven(self, tenant: str, job: StoredTuning) -> tuple[Job, bool]:
        """The queue's job, brought to where the record wants it, and whether it was resumed now."""
        if job.stopping:
            return self._jobs.cancel(job.id), False
        theirs = self._jobs.get(job.id)
        resumes = job.resuming
        if job.holding and theirs.state in ("queued", "running"):
            theirs = self._jobs.pause(job.id)
            resumes = not self._shelf.get(tenant, job.id).holding  # it was taken back meanwhile
        if resumes and theirs.state == "paused":
            theirs = self._jobs.resume(job.id)
            return theirs, theirs.state != "paused"
        return theirs, False

    def _followed(self, tenant: str, job: StoredTuning) -> StoredTuning:
        if job.holding and not job.stopping and not self._known(job):
            return self._shelf.change(tenant, job.id, tuning_records.kept_back)
        self._submitted(tenant, job)
        theirs, resumed = self._driven(tenant, job)
        told, measured = self._told(job) if theirs.state != "queued" else ([], [])
        error, tokens = None, None
        if theirs.state == "failed":
            error = self._fault(job, theirs.error, told)
        kept = theirs.state == "succeeded" and bool(measured)
        if theirs.state == "succeeded":
            last: dict[str, Any] = next(
                (line for line in reversed(told) if line.get("type") == "succeeded"), {}
            )
            tokens = last.get("tokens") if isinstance(last.get("tokens"), int) else None
            if kept:
                self._keep_results(tenant, job, measured)
        if self._charges is not None and theirs.state in FINAL_STATES:
            self._charges.training(
                id=job.id,
                tenant=tenant,
                key=job.key or tenant,
                base=job.model,
                tokens=tokens or 0,
                done=theirs.state == "succeeded",
                ended=theirs.finished or job.created_at,
                began=job.created_at,
                ran=ran(theirs),
            )
        checkpoints = self._kept_checkpoints(tenant, job, theirs, told) if theirs.state in FINAL_STATES else ()
        finish = tuning_events.finish(measured, theirs.started)
        return self._shelf.change(
            tenant,
            job.id,
            lambda now: tuning_records.followed(
                now,
                theirs,
                error,
                tokens,
                finish,
                kept,
                checkpoints=checkpoints,
                life=job.life,
                resumed=resumed,
            ),
        )

    def _kept_checkpoints(
        self, tenant: str, job: StoredTuning, theirs: Job, told: list[dict[str, Any]]
    ) -> tuple[KeptCheckpoint, ...]:
        """What the job kept on its way, registered."""
        file = self._files.find(tenant, job.training_file)
        model = job.promises(file.sha256 if file else None)
        found = register_checkpoints(self._registry, model, theirs.output, told)
        return tuple(KeptCheckpoint(step, int(made.created), made.name) for step, made in found.items())

    def _keep_results(self, tenant: str, job: StoredTuning, measured: list[dict[str, Any]]) -> None:
        if self._files.find(tenant, job.results) is not None:
            return
        blob = self._files.store(tuning_events.results(measured))
        file = self._files.made(tenant, job.results, blob, "step_metrics.csv", "fine-tune-results", None)
        if file.blob != blob.key:
            self._files.drop(blob)

    def _fault(self, job: StoredTuning, message: str | None, told: list[dict[str, Any]]) -> TuningError:
        text, param = message or "the job ended without a reason; create it again", None
        for address, id in self._addresses(job).items():
            if address in text:
                param = "training_file" if id == job.training_file else "validation_file"
                text = text.replace(address, id)
        invalid = bool(told) and told[-1].get("type") == "invalid"
        return TuningError(f"invalid_{param}" if invalid and param else "training_failed", text, param)

    def _told(self, job: StoredTuning) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Events and metrics so far; none of a job that isn't in the queue yet."""
        try:
            return self._jobs.events(job.id), self._jobs.metrics(job.id)
        except NotFound:
            return [], []

    def _addresses(self, job: StoredTuning) -> dict[str, str]:
        """Where the job reads its files → their ids."""
        try:
            data = self._jobs.get(job.id).spec.get("data", {})
        except NotFound:
            return {}
        pairs = ((data.get("train"), job.training_file), (data.get("validation"), job.validation_file))
        return {str(address): id for address, id in pairs if address and id}


def _way(job: StoredTuning) -> str:
    return job.status if job.ended else "been cancelled"


def _refused(now: StoredTuning, *, fault: TuningError) -> StoredTuning:
    """Failed, unless somebody else went further meanwhile."""
    return now if now.promised else tuning_records.failed(now, fault)
