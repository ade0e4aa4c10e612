"""JobQueue on AWS Batch. What a job is stands in the records; Batch runs it, and is asked how it gets on.

A submit survives whatever cuts it off: the record is made first, with a lease for whoever submits it. When the lease
has run out and there is no Batch job, the next one to look at the job submits it. SubmitJob takes no token that would
make it idempotent, so it is never sent again before Batch was asked for a job of that name.
"""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from genai_stack import names
from genai_stack.errors import GenAIStackError, RequestError
from genai_stack.ports import FINAL_STATES, Job, JobRequest, ModelRegistry, ObjectStore, RecordStore

from . import session
from .faults import THROTTLES, code_of, refusal, translated, unreachable
from .job_log import JobLog
from .job_progress import EVENTS, METRICS, JobProgress
from .job_records import JobEntry, cancelled, failed, held_back, leased, paused, require_id, went_on
from .observed import CANCELLED, PAUSED, observe

SUBMITS = 4
PAUSE_SECONDS = 1.0
"""Before a submit is looked for and tried again; twice as long each time."""
KEPT_SECONDS = 86_400.0
"""For at least so long Batch knows every job; what it doesn't know then, it has forgotten."""
DESCRIBED = 100
"""Jobs that one DescribeJobs takes."""


class Fleet(msgspec.Struct, frozen=True):
    """What the training stack is made of, by the names it published. The job definitions are by job kind; those of
    `multi_node` are for jobs that several nodes share."""

    bucket: str
    spot_queue: str
    multi_node_queue: str
    definitions: Mapping[str, str]
    multi_node: Mapping[str, str]
    log_group: str


class BatchJobs:
    """Safe from any thread and any number of machines. `submitting` is a Batch client that sends each request once."""

    def __init__(
        self,
        fleet: Fleet,
        records: RecordStore,
        objects: ObjectStore,
        registry: ModelRegistry,
        *,
        batch: Any = None,
        submitting: Any = None,
        logs: Any = None,
    ) -> None:
        self._fleet, self._objects = fleet, objects
        self._progress = JobProgress(records, objects, registry)
        self._jobs = self._progress.jobs
        self._batch = batch or session.client("batch")
        self._submitting = submitting or batch or session.client("batch", attempts=1)
        self._log = JobLog(logs or session.client("logs"), fleet.log_group)

    def submit(self, request: JobRequest) -> Job:
        """As the port says. What Batch refuses to run is a failed job, and raises. The job's spec lies in the bucket
        before Batch hears of the job."""
        self._check(request)
        entry = self._jobs.find(request.id)
        if entry is None:
            output = f"s3://{self._fleet.bucket}/{names.job_output(request.id)}"
            entry, new = self._jobs.create(request, output, leased())
            return (self._start(entry, anew=True) if new else entry).job
        return self._tended(entry).job

    def get(self, id: str) -> Job:
        return self._tended(self._jobs.get(id)).job

    def list(self, *, after: str | None = None, limit: int = 100) -> builtins.list[Job]:
        entries = self._jobs.list(after, limit)
        seen = self.looked_at(entry for entry in entries if entry.batch and entry.state not in FINAL_STATES)
        return [seen.get(entry.id, entry).job for entry in entries]

    def cancel(self, id: str) -> Job:
        """Returns when Batch has taken the order: it ends the program by SIGTERM, and by SIGKILL 100
        seconds later (torch's launcher ends several processes after 30)."""
        entry = self._jobs.get(id)
        if entry.state not in FINAL_STATES and entry.batch is None:
            entry = self._adopt(entry, self._find(entry))
        entry = self.looked_at([entry]).get(id, entry)
        if entry.state not in FINAL_STATES and entry.batch:
            self._terminate(entry.batch, CANCELLED)
        return self._jobs.change(id, cancelled).job

    def pause(self, id: str) -> Job:
        """Returns when Batch has taken the order; the program then keeps what it has come to, and has 100 seconds for
        it. Paused it is once Batch says that it has ended."""
        entry = self._jobs.get(id)
        if entry.state not in (*FINAL_STATES, "paused") and entry.batch is None:
            entry = self._adopt(entry, self._find(entry))
        entry = self._jobs.change(id, held_back)
        if entry.pausing and entry.batch:
            self._terminate(entry.batch, PAUSED)
        return self.get(id)

    def resume(self, id: str) -> Job:
        """A job that is still on its way to be paused stays on it: resume it once it is."""
        free = False

        def taken(now: JobEntry) -> JobEntry:
            nonlocal free
            after = went_on(now)
            free = after is not now
            return after

        entry = self._jobs.change(self._tended(self._jobs.get(id)).id, taken)
        return (self._start(entry, anew=True) if free else entry).job

    def events(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        self._jobs.get(id)
        return self._progress.lines(id, EVENTS, after)

    def metrics(self, id: str, *, after: int = 0) -> builtins.list[dict[str, Any]]:
        self._jobs.get(id)
        return self._progress.lines(id, METRICS, after)

    def log(self, id: str) -> str:
        """What the job's last attempt has printed so far; of several nodes, the main one."""
        entry = self._tended(self._jobs.get(id))
        stream = self._main_stream(entry) if entry.nodes > 1 else entry.log
        return self._log.read(stream) if stream else ""

    def output(self, id: str, name: str) -> Iterator[bytes]:
        self._jobs.get(id)
        return self._objects.read(f"{names.job_output(id)}/{name}")

    def close(self) -> None:
        """Closes idle connections. Jobs run on."""
        for client in (self._batch, self._submitting, self._log):
            client.close()

    def _check(self, request: JobRequest) -> None:
        require_id(request.id)
        if request.kind not in self._fleet.definitions:
            kinds = ", ".join(sorted(self._fleet.definitions))
            raise RequestError(f"no job kind {request.kind!r}; there are: {kinds}", param="kind")
        if request.nodes < 1:
            raise RequestError(f"a job runs on 1 node or more, not on {request.nodes}", param="nodes")
        if request.nodes > 1 and request.kind not in self._fleet.multi_node:
            kinds = ", ".join(sorted(self._fleet.multi_node)) or "none"
            raise RequestError(
                f"a job of kind {request.kind!r} runs on one node; several nodes share: {kinds}", param="nodes"
            )

    def _tended(self, entry: JobEntry) -> JobEntry:
        """The job as it stands now: submitted if nobody does it, else looked at."""
        if entry.state in FINAL_STATES:
            return entry
        if entry.batch:
            return self.looked_at([entry]).get(entry.id, entry)
        free = False

        def take(now: JobEntry) -> JobEntry:
            nonlocal free
            free = now.batch is None and now.state == "queued" and now.lease < time.time()
            return msgspec.structs.replace(now, lease=leased()) if free else now

        entry = self._jobs.change(entry.id, take)
        return self._start(entry, anew=False) if free else entry

    def looked_at(self, entries: Iterable[JobEntry]) -> dict[str, JobEntry]:
        """The unfinished among `entries` by id, after what Batch says about them."""
        rest = {e.batch: e for e in entries if e.batch and e.state not in FINAL_STATES}
        after: dict[str, JobEntry] = {}
        ids = builtins.list(rest)
        for start in range(0, len(ids), DESCRIBED):
            with translated("batch", "AWS Batch"):
                reply = self._batch.describe_jobs(jobs=ids[start : start + DESCRIBED])
            for detail in reply["jobs"]:
                rest.pop(detail["jobId"], None)
                if entry := self._progress.saw(observe(detail)):
                    after[entry.id] = entry
        for lost in rest.values():
            if lost.created < time.time() - KEPT_SECONDS and (entry := self._progress.forgotten(lost)):
                after[entry.id] = entry
        return after

    def _start(self, entry: JobEntry, *, anew: bool) -> JobEntry:
        """Submits the job, as the holder of its lease. `anew` says that nobody can have submitted it before."""
        try:
            spec = json.dumps({**entry.spec, "output": entry.output}).encode()
            self._objects.put(names.job_spec(entry.id), spec)
            batch = self._submitted(entry, anew)
        except _Refused as error:
            why = error.why
            self._jobs.change(entry.id, lambda now: failed(now, why.message))
            raise why from error
        except GenAIStackError:
            self._jobs.change(entry.id, lambda now: msgspec.structs.replace(now, lease=0.0))
            raise
        return self._adopt(entry, batch)

    def _submitted(self, entry: JobEntry, anew: bool) -> str:
        """Batch's id of the job, which is submitted unless it is there."""
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(1, SUBMITS + 1):
            if not (anew and attempt == 1) and (there := self._find(entry)):
                return there
            try:
                return str(self._submitting.submit_job(**self._order(entry))["jobId"])
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
                why = refusal(error, "batch", "AWS Batch", "training")
                if code_of(error) not in THROTTLES and status < 500:
                    raise _Refused(self._closed(self._queue(entry)) or why) from error
            except BotoCoreError as error:  # it may have arrived all the same
                why = unreachable("can't reach AWS Batch", error)
            if attempt < SUBMITS:
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        raise why

    def _order(self, entry: JobEntry) -> dict[str, Any]:
        uri = f"s3://{self._fleet.bucket}/{names.job_spec(entry.id)}"
        order: dict[str, Any] = {
            "jobName": entry.id,
            "jobQueue": self._queue(entry),
            "parameters": {"spec": uri},
        }
        if entry.nodes == 1:
            return {**order, "jobDefinition": self._fleet.definitions[entry.kind]}
        definition = self._fleet.multi_node[entry.kind]
        return {**order, "jobDefinition": definition, "nodeOverrides": {"numNodes": entry.nodes}}

    def _queue(self, entry: JobEntry) -> str:
        return self._fleet.spot_queue if entry.nodes == 1 else self._fleet.multi_node_queue

    def _closed(self, queue: str) -> GenAIStackError | None:
        """What to say about a queue that takes no jobs; None when it takes them, or when nobody can tell."""
        try:
            with translated("batch", "AWS Batch"):
                found = self._batch.describe_job_queues(jobQueues=[queue])["jobQueues"]
        except GenAIStackError:  # these credentials may be good for submitting only
            return None
        if not found or found[0]["state"] != "DISABLED":
            return None
        name = found[0]["jobQueueName"]
        places = [place["computeEnvironment"] for place in found[0]["computeEnvironmentOrder"]]
        opened = [
            f"aws batch update-compute-environment --compute-environment {p} --state ENABLED" for p in places
        ]
        opened.append(f"aws batch update-job-queue --job-queue {name} --state ENABLED")
        return GenAIStackError(
            f"the queue {name} is closed, as it is when the month's [training.budget] is spent; raise monthly_usd and "
            f"deploy again, or reopen it with: {' && '.join(opened)}"
        )

    def _find(self, entry: JobEntry) -> str | None:
        """Batch's id of the job of that name, the oldest of them. The filter ignores case, ids don't."""
        asked: dict[str, Any] = {
            "jobQueue": self._queue(entry),
            "filters": [{"name": "JOB_NAME", "values": [entry.id]}],
        }
        found: builtins.list[tuple[int, str]] = []
        while True:
            with translated("batch", "AWS Batch"):
                page = self._batch.list_jobs(**asked)
            found += (
                (job.get("createdAt", 0), job["jobId"])
                for job in page["jobSummaryList"]
                if job["jobName"] == entry.id and job["jobId"] not in entry.past
            )
            if not page.get("nextToken"):
                return min(found)[1] if found else None
            asked["nextToken"] = page["nextToken"]

    def _adopt(self, entry: JobEntry, batch: str | None) -> JobEntry:
        """Notes Batch's id. A job that was cancelled or paused while it was submitted ends here."""
        if batch is None:
            return entry

        def noted(now: JobEntry) -> JobEntry:
            if batch in now.past:
                return now
            if now.state == "paused":
                return paused(now, batch)
            return msgspec.structs.replace(now, batch=now.batch or batch, lease=0.0)

        after = self._jobs.change(entry.id, noted)
        if after.state in ("cancelled", "paused") or after.batch != batch:
            self._terminate(batch, CANCELLED)
        return after

    def _terminate(self, batch: str, reason: str) -> None:
        with translated("batch", "AWS Batch"):
            self._batch.terminate_job(jobId=batch, reason=reason)

    def _main_stream(self, entry: JobEntry) -> str | None:
        """The log stream of the main node's last attempt. Each node is a job of its own, `<job>#<index>`."""
        if entry.batch is None:
            return None
        with translated("batch", "AWS Batch"):
            parents = self._batch.describe_jobs(jobs=[entry.batch])["jobs"]
            main = parents[0].get("nodeProperties", {}).get("mainNode", 0) if parents else 0
            nodes = self._batch.describe_jobs(jobs=[f"{entry.batch}#{main}"])["jobs"]
        return observe(nodes[0]).log if nodes else None


class _Refused(Exception):
    """Batch won't run the job, however often it is asked."""

    def __init__(self, why: GenAIStackError) -> None:
        self.why = why
