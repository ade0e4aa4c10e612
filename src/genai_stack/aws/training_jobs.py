"""JobQueue on SageMaker training jobs: the same program, spec and output as on AWS Batch, on machines SageMaker rents.

A job's name in SageMaker follows from its id, and SageMaker takes a name once: however often a submit is repeated,
there is one training job. The records say what a job is, as for Batch; SageMaker is asked how it gets on.
"""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from genai_stack import names
from genai_stack.errors import GenAIStackError, RequestError
from genai_stack.managed import ManagedTraining
from genai_stack.ports import FINAL_STATES, Job, JobRequest, ModelRegistry, ObjectStore, RecordStore

from . import model_trainer, session
from .faults import code_of, refusal, translated
from .job_log import JobLog
from .job_progress import EVENTS, METRICS, JobProgress
from .job_records import JobEntry, cancelled, failed, leased, require_id
from .observed_training import observe

KIND = "train"
UNKNOWN = "ValidationException"
"""What SageMaker answers about a training job that isn't there, or that can't be stopped any more."""


class TrainingJobs:
    """Safe from any thread and any number of machines. `managed` reads what the stage published about such jobs, when
    the first of them is started; `require` raises where `start` can't start one."""

    def __init__(
        self,
        managed: Callable[[], ManagedTraining],
        bucket: str,
        records: RecordStore,
        objects: ObjectStore,
        registry: ModelRegistry,
        *,
        sagemaker: Any = None,
        logs: Any = None,
        require: Callable[[], None] = model_trainer.require,
        start: Callable[[ManagedTraining, str, JobEntry], None] = model_trainer.start,
    ) -> None:
        self._require, self._begin = require, start
        self._managed, self._bucket, self._objects = managed, bucket, objects
        self._progress = JobProgress(records, objects, registry)
        self._jobs = self._progress.jobs
        self._given = sagemaker
        self._logs = logs or session.client("logs")
        self._log = JobLog(self._logs, names.TRAINING_JOB_LOGS)

    def submit(self, request: JobRequest) -> Job:
        """As the port says; only training runs here. What SageMaker refuses to run is a failed job, and raises. The
        job's spec lies in the bucket before SageMaker hears of the job."""
        require_id(request.id)
        if request.kind != KIND:
            raise RequestError(f"SageMaker runs jobs of kind {KIND!r}, not {request.kind!r}", param="kind")
        if request.nodes < 1:
            raise RequestError(f"a job runs on 1 node or more, not on {request.nodes}", param="nodes")
        entry = self._jobs.find(request.id)
        if entry is not None:
            return self._tended(entry).job
        self._require()
        self._managed()  # a stage that has none says so before there is a job
        output = f"s3://{self._bucket}/{names.job_output(request.id)}"
        entry, new = self._jobs.create(request, output, leased())
        return (self._start(entry) if new else entry).job

    def get(self, id: str) -> Job:
        return self._tended(self._jobs.get(id)).job

    def list(self, *, after: str | None = None, limit: int = 100) -> builtins.list[Job]:
        entries = self._jobs.list(after, limit)
        seen = self.looked_at(entries)
        return [seen.get(entry.id, entry).job for entry in entries]

    def cancel(self, id: str) -> Job:
        """Returns when SageMaker has taken the order: it ends the program by SIGTERM, and by SIGKILL 120 seconds
        later."""
        entry = self._look(self._jobs.get(id))
        if entry.state not in FINAL_STATES and entry.batch:
            self._stop(entry.batch)
        return self._jobs.change(id, cancelled).job

    def pause(self, id: str) -> Job:
        """Raises RequestError: SageMaker takes a job's name once, and starts none a second time."""
        self._jobs.get(id)
        raise RequestError(
            "a SageMaker training job can't be paused; cancel it, or train on AWS Batch", code="not_pausable"
        )

    def resume(self, id: str) -> Job:
        return self.get(id)

    def events(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        self._jobs.get(id)
        return self._progress.lines(id, EVENTS, after)

    def metrics(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        self._jobs.get(id)
        return self._progress.lines(id, METRICS, after)

    def log(self, id: str) -> str:
        """What the job's last container has printed so far; of several nodes, the first one's."""
        entry = self._jobs.get(id)
        stream = self._stream(names.training_job(self._bucket, entry.id))
        return self._log.read(stream) if stream else ""

    def looked_at(self, entries: Iterable[JobEntry]) -> dict[str, JobEntry]:
        """The unfinished among `entries` by id, after what SageMaker says about them."""
        rest = [entry for entry in entries if entry.batch and entry.state not in FINAL_STATES]
        return {entry.id: self._look(entry) for entry in rest}

    def output(self, id: str, name: str) -> Iterator[bytes]:
        self._jobs.get(id)
        return self._objects.read(f"{names.job_output(id)}/{name}")

    def close(self) -> None:
        """Closes idle connections. Jobs run on."""
        self._log.close()
        if self._given is not None:
            self._given.close()

    @property
    def _sagemaker(self) -> Any:
        """Made when it is first asked: most stages never have such a job."""
        self._given = self._given or session.client("sagemaker")
        return self._given

    def _tended(self, entry: JobEntry) -> JobEntry:
        """The job as it stands now: looked at, and started if nobody does it."""
        entry = self._look(entry)
        if entry.batch or entry.state in FINAL_STATES:
            return entry
        free = False

        def take(now: JobEntry) -> JobEntry:
            nonlocal free
            free = now.batch is None and now.state == "queued" and now.lease < time.time()
            return msgspec.structs.replace(now, lease=leased()) if free else now

        entry = self._jobs.change(entry.id, take)
        return self._start(entry) if free else entry

    def _look(self, entry: JobEntry) -> JobEntry:
        """The job after what SageMaker says about it, if it knows it."""
        if entry.state in FINAL_STATES:
            return entry
        detail = self._described(names.training_job(self._bucket, entry.id))
        seen = observe(detail) if detail else None
        return (self._progress.saw(seen) if seen else None) or entry

    def _described(self, name: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        with translated("sagemaker", "SageMaker"):
            try:
                found: dict[str, Any] = self._sagemaker.describe_training_job(TrainingJobName=name)
                return found
            except ClientError as error:
                if code_of(error) != UNKNOWN:
                    raise
                return None

    def _start(self, entry: JobEntry) -> JobEntry:
        """Starts the job, as the holder of its lease. A job that was cancelled meanwhile ends here."""
        try:
            spec = json.dumps({**entry.spec, "output": entry.output}).encode()
            self._objects.put(names.job_spec(entry.id), spec)
            self._begin(self._managed(), self._bucket, entry)
        except model_trainer.Refused as error:
            why = error.why
            self._jobs.change(entry.id, lambda now: failed(now, why.message))
            raise why from error
        except GenAIStackError:
            self._jobs.change(entry.id, lambda now: msgspec.structs.replace(now, lease=0.0))
            raise
        name = names.training_job(self._bucket, entry.id)
        after = self._jobs.change(entry.id, lambda now: msgspec.structs.replace(now, batch=name, lease=0.0))
        if after.state == "cancelled":
            self._stop(name)
        return after

    def _stop(self, name: str) -> None:
        from botocore.exceptions import ClientError

        with translated("sagemaker", "SageMaker"):
            try:
                self._sagemaker.stop_training_job(TrainingJobName=name)
            except ClientError as error:
                if code_of(error) != UNKNOWN:  # it has ended meanwhile
                    raise refusal(error, "sagemaker", "SageMaker", "training") from error

    def _stream(self, name: str) -> str | None:
        """The newest log stream of the first node, `<name>/algo-1-<time>`. None before there is one."""
        with translated("logs", f"the log group {names.TRAINING_JOB_LOGS}"):
            try:
                page = self._logs.describe_log_streams(
                    logGroupName=names.TRAINING_JOB_LOGS, logStreamNamePrefix=f"{name}/algo-1-"
                )
            except self._logs.exceptions.ResourceNotFoundException:
                return None
        found = [(stream.get("creationTime", 0), stream["logStreamName"]) for stream in page["logStreams"]]
        return max(found)[1] if found else None
