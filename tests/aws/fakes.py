"""Batch and its logs by hand: a test says what Batch says. moto can't be driven through states and has no multi-node
jobs (batch_stand_in.py); test_batch_api.py holds BatchJobs to moto's and botocore's idea of the API."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from genai_stack.aws.jobs import BatchJobs, Fleet
from genai_stack.errors import ConditionFailed, ObjectNotFound
from genai_stack.ports import ObjectInfo, Record, Services
from genai_stack.registry import RecordedModels

FLEET = Fleet(
    bucket="artefacts",
    spot_queue="spot",
    multi_node_queue="multi",
    definitions={"train": "train-def", "evaluate": "evaluate-def"},
    multi_node={"train": "train-multi-def"},
    log_group="/jobs",
)


class HandBatch:
    """`jobs` are JobDetails by id; what was asked is in `orders` and `ended`. `broken` is raised by the next submit,
    after it took effect where `effect` says so. `queues` is the state of every queue."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.orders: list[dict[str, Any]] = []
        self.ended: list[tuple[str, str]] = []
        self.described: list[list[str]] = []
        self.broken: list[BaseException] = []
        self.effect = True
        self.queues = "ENABLED"

    def submit_job(self, **order: Any) -> dict[str, Any]:
        error = self.broken.pop() if self.broken else None
        if error is None or self.effect:
            self.orders.append(order)
            id = f"batch-{len(self.orders)}"
            self.jobs[id] = {
                "jobName": order["jobName"],
                "jobId": id,
                "jobQueue": order["jobQueue"],
                "status": "SUBMITTED",
                "createdAt": len(self.orders),
            }
        if error is not None:
            raise error
        return {"jobId": id, "jobName": order["jobName"]}

    def list_jobs(self, *, jobQueue: str, filters: list[dict[str, Any]], nextToken: str = "0") -> Any:
        """A page holds one job."""
        wanted = filters[0]["values"][0].lower()
        found = [j for j in self.jobs.values() if j["jobQueue"] == jobQueue and j["jobName"].lower() == wanted]
        at = int(nextToken)
        more = {"nextToken": str(at + 1)} if at + 1 < len(found) else {}
        return {"jobSummaryList": found[at : at + 1], **more}

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        self.described.append(jobs)
        return {"jobs": [self.jobs[id] for id in jobs if id in self.jobs]}

    def describe_job_queues(self, *, jobQueues: list[str]) -> dict[str, Any]:
        places = [{"order": 1, "computeEnvironment": "arn:machines"}]
        about = {"computeEnvironmentOrder": places, "state": self.queues}
        return {"jobQueues": [{"jobQueueName": name, **about} for name in jobQueues]}

    def terminate_job(self, *, jobId: str, reason: str) -> dict[str, Any]:
        self.ended.append((jobId, reason))
        return {}

    def close(self) -> None:
        """Nothing is open."""


class HandLogs:
    """`streams` are lists of pages of messages."""

    def __init__(self) -> None:
        self.streams: dict[str, list[list[str]]] = {}
        self.asked: list[str | None] = []

    class exceptions:
        class ResourceNotFoundException(Exception):
            """Never raised here."""

    def get_log_events(
        self, *, logGroupName: str, logStreamName: str, startFromHead: bool, nextToken: str | None = None
    ) -> dict[str, Any]:
        self.asked.append(nextToken)
        pages, at = self.streams[logStreamName], int(nextToken or 0)
        events = [{"message": message} for message in pages[at]] if at < len(pages) else []
        return {"events": events, "nextForwardToken": str(min(at + 1, len(pages)))}

    def close(self) -> None:
        """Nothing is open."""


class MemoryRecords:
    """As much of a RecordStore as jobs and models need."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Record] = {}
        self._lock = threading.Lock()

    def get(self, collection: str, id: str) -> Record | None:
        return self._kept.get((collection, id))

    def put(
        self, collection: str, id: str, item: Mapping[str, Any], *, if_version: int | None = None
    ) -> Record:
        with self._lock:
            there = self._kept.get((collection, id))
            version = there.version if there else 0
            if if_version not in (None, version):
                raise ConditionFailed(f"{collection} {id}")
            record = Record(id, dict(item), version + 1)
            self._kept[collection, id] = record
            return record

    def delete(self, collection: str, id: str) -> None:
        self._kept.pop((collection, id), None)

    def query(
        self, collection: str, *, after: str | None = None, limit: int = 100, descending: bool = False
    ) -> list[Record]:
        ids = sorted((id for kept, id in list(self._kept) if kept == collection), reverse=descending)
        if after is not None:
            ids = [id for id in ids if (id < after if descending else id > after)]
        return [self._kept[collection, id] for id in ids[:limit]]


class MemoryObjects:
    """As much of an ObjectStore as jobs need. `sent` is how many bytes were read in pieces."""

    def __init__(self) -> None:
        self.sent = 0
        self._kept: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> ObjectInfo:
        self._kept[key] = data
        return ObjectInfo(key, len(data), hashlib.sha256(data).hexdigest(), 0.0)

    def get(self, key: str) -> bytes:
        if key not in self._kept:
            raise ObjectNotFound(key)
        return self._kept[key]

    def read(self, key: str, start: int = 0) -> Iterator[bytes]:
        data = self.get(key)[start:]
        self.sent += len(data)
        return iter((data,))

    def list(self, prefix: str, *, limit: int) -> list[ObjectInfo]:
        keys = sorted(key for key in self._kept if key.startswith(prefix))[:limit]
        return [ObjectInfo(key, len(self._kept[key]), "", 0.0) for key in keys]


class Account:
    """BatchJobs over ports in memory and a Batch by hand."""

    def __init__(self) -> None:
        self.batch, self.logs = HandBatch(), HandLogs()
        self.records = MemoryRecords()
        self.objects = MemoryObjects()
        self.registry = RecordedModels(self.records)
        self.queue = self.again()

    def again(self) -> BatchJobs:
        """Another process's queue."""
        return BatchJobs(FLEET, self.records, self.objects, self.registry, batch=self.batch, logs=self.logs)

    @property
    def services(self) -> Services:
        nothing: Any = None
        return Services(self.objects, self.records, self.queue, self.registry, nothing)

    def says(self, batch: str, status: str, **more: Any) -> None:
        self.batch.jobs[batch] |= {"status": status, **more}

    def leaves(self, id: str, *names: str, data: bytes = b"{}") -> None:
        for name in names:
            self.objects.put(f"jobs/{id}/output/{name}", data)
