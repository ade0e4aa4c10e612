"""AWS Batch as far as BatchJobs asks it, with jobs that really run: processes of this machine, one at a time.

moto's Batch either wants Docker or calls every job SUCCEEDED the moment it is submitted: it has no RUNNABLE, no
attempts, no exit codes, no retry strategy and no multi-node jobs. Here a job goes through the states of the real one,
is retried as the job definitions say (exit code 75), writes to the object store under `jobs/<id>/output`, and prints to
CloudWatch Logs.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai_stack.aws.objects import S3Objects
from genai_stack.aws.session import client

ATTEMPTS = 5
INTERRUPTED = 75
DETAILS = (
    "jobName",
    "jobId",
    "jobQueue",
    "status",
    "statusReason",
    "createdAt",
    "startedAt",
    "stoppedAt",
    "attempts",
)
_made: dict[Path, BatchStandIn] = {}


def stand_in(root: Path, **options: Any) -> BatchStandIn:
    """The one of `root`; made when it isn't there."""
    if root not in _made:
        _made[root] = BatchStandIn(**options)
    return _made[root]


class BatchStandIn:
    """The methods of a boto3 Batch client that BatchJobs calls; keyword arguments and answers as there."""

    def __init__(self, *, programs: Mapping[str, str], bucket: str, log_group: str) -> None:
        self._programs, self._group = programs, log_group
        self._objects = S3Objects(bucket)
        self._logs = client("logs")
        self._logs.create_log_group(logGroupName=log_group)
        self.jobs: dict[str, dict[str, Any]] = {}
        self._waiting: queue.SimpleQueue[tuple[dict[str, Any], str, str]] = queue.SimpleQueue()
        self._changed = threading.Lock()
        threading.Thread(target=self._work, name="batch", daemon=True).start()

    def submit_job(
        self, *, jobName: str, jobQueue: str, jobDefinition: str, parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        job: dict[str, Any] = {
            "jobName": jobName,
            "jobId": str(uuid.uuid4()),
            "jobQueue": jobQueue,
            "status": "RUNNABLE",
            "createdAt": _now(),
            "attempts": [],
            "terminated": False,
        }
        self.jobs[job["jobId"]] = job
        self._waiting.put((job, self._programs[jobDefinition], parameters["spec"]))
        return {"jobName": jobName, "jobId": job["jobId"]}

    def describe_jobs(self, *, jobs: list[str]) -> dict[str, Any]:
        found = [dict(self.jobs[id]) for id in jobs if id in self.jobs]
        return {"jobs": [{key: job[key] for key in DETAILS if key in job} for job in found]}

    def list_jobs(self, *, jobQueue: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
        (wanted,) = filters[0]["values"]
        found = [j for j in self.jobs.values() if j["jobName"].lower() == wanted.lower()]
        return {"jobSummaryList": [j for j in found if j["jobQueue"] == jobQueue]}

    def terminate_job(self, *, jobId: str, reason: str) -> dict[str, Any]:
        job = self.jobs[jobId]
        with self._changed:
            if job["status"] not in ("SUCCEEDED", "FAILED") and not job["terminated"]:
                job["terminated"], job["statusReason"] = True, reason
                if job["status"] == "RUNNABLE":
                    self._end(job, "FAILED")
        return {}

    def close(self) -> None:
        """Jobs run on."""

    def _work(self) -> None:
        while True:
            self._run(*self._waiting.get())

    def _run(self, job: dict[str, Any], program: str, uri: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            spec = json.loads(self._objects.get(uri.split("/", 3)[3]))
            output = Path(folder) / "output"
            output.mkdir()
            path = Path(folder) / "spec.json"
            path.write_text(json.dumps({**spec, "output": str(output)}))
            prefix = spec["output"].split("/", 3)[3]
            for _ in range(ATTEMPTS):
                with self._changed:
                    if job["terminated"]:
                        return
                    job |= {"status": "RUNNING", "startedAt": _now()}
                code = self._attempt(job, [sys.executable, "-u", "-m", program, str(path)], output, prefix)
                if code != INTERRUPTED or job["terminated"]:
                    break
                with self._changed:
                    job["status"] = "RUNNABLE"
            with self._changed:
                self._end(job, "FAILED" if code or job["terminated"] else "SUCCEEDED")

    def _attempt(self, job: dict[str, Any], command: list[str], output: Path, prefix: str) -> int:
        stream = f"tiny/default/{uuid.uuid4().hex}"
        self._logs.create_log_stream(logGroupName=self._group, logStreamName=stream)
        job["attempts"] = [
            *job["attempts"],
            {"startedAt": job["startedAt"], "container": {"logStreamName": stream}},
        ]
        log, printed = output.parent / "log", 0
        sent: dict[Path, tuple[int, int]] = {}
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
            code = None
            while code is None:
                time.sleep(0.02)
                if job["terminated"]:
                    os.killpg(process.pid, signal.SIGKILL)
                code = process.poll()
                for file in sorted(p for p in output.rglob("*") if p.is_file()):
                    try:
                        stamp = (file.stat().st_size, file.stat().st_mtime_ns)
                        if sent.get(file) != stamp:
                            self._objects.put(
                                f"{prefix}/{file.relative_to(output).as_posix()}", file.read_bytes()
                            )
                            sent[file] = stamp
                    except FileNotFoundError:  # written aside and renamed since it was listed
                        pass
                lines = log.read_text().splitlines()[printed:]
                if lines:
                    entries = [{"timestamp": _now(), "message": line} for line in lines]
                    self._logs.put_log_events(logGroupName=self._group, logStreamName=stream, logEvents=entries)
                    printed += len(lines)
        code = 128 - code if code < 0 else code
        last = job["attempts"][-1]
        ended = {"exitCode": code, **last["container"]}
        job["attempts"] = [*job["attempts"][:-1], {**last, "stoppedAt": _now(), "container": ended}]
        return code

    def _end(self, job: dict[str, Any], status: str) -> None:
        job |= {"status": status, "stoppedAt": _now()}
        if status == "FAILED":
            job.setdefault("statusReason", "Essential container in task exited")


def _now() -> int:
    return int(time.time() * 1000)
