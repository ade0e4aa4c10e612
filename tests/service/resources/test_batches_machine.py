"""Batches against a model of them: events in any order and number, cancels, and a process that dies at any store."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from genai_stack.errors import Conflict, GenAIStackError
from genai_stack.protocol.batches import BatchRequest
from genai_stack.service.resources.batch_records import ENDED
from genai_stack.service.resources.batches import Batches
from genai_stack.service.resources.files import Files
from genai_stack.service.resources.once import Once
from genai_stack.service.resources.shelf import Page
from tests.service.resources.conftest import stores
from tests.service.resources.mortal import Died, Mortal
from tests.service.resources.queue import HandQueue
from tests.service.resources.test_batches import ENDPOINT, entry, line

RANK = {"validating": 0, "in_progress": 1, "cancelling": 2, "finalizing": 2, **dict.fromkeys(ENDED, 3)}


class BatchesMachine(RuleBasedStateMachine):
    stores = staticmethod(stores)

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.jobs = HandQueue()
        self.services = self.stores(Path(self.root.name), self.jobs)
        self.seen: dict[str, Any] = {}
        self.cancelled: set[str] = set()
        self.number = 0
        self.open()

    def open(self) -> None:
        self.records, self.queue = Mortal(self.services.records), Mortal(self.jobs)
        records: Any = self.records
        queue: Any = self.queue
        once = Once(records)
        self.files = Files(self.services.objects, records, once)
        self.batches = Batches(self.files, records, queue, self.services.registry, once)

    def teardown(self) -> None:
        for store in (self.services.objects, self.services.records):
            store.close()  # type: ignore[attr-defined]
        self.root.cleanup()

    @initialize()
    def upload(self) -> None:
        blob = self.files.store([json.dumps(line(n)).encode() + b"\n" for n in (1, 2)])
        self.file = self.files.create("me", blob, "in", "batch", None).id

    @precondition(lambda self: self.number < 3)
    @rule(after=st.integers(-1, 14), key=st.booleans(), away=st.booleans())
    def create(self, after: int, key: bool, away: bool) -> None:
        """With a key, a create that the process died in is sent again and has one effect."""
        self.number += 1
        request = BatchRequest(self.file, ENDPOINT, "24h", {"n": str(self.number)})
        named = str(self.number).encode() if key else None
        self.jobs.failure = GenAIStackError("the queue is away") if away else None
        self.records.after = after
        try:
            batch = self.batches.create("me", request, named)
        except Died:
            self.open()
            if not key:
                return
            batch = self.batches.create("me", request, named)
        self.records.after = -1
        self.note(batch)
        if key:
            assert self.batches.create("me", request, named).id == batch.id

    @rule(data=st.data(), after=st.integers(-1, 8), who=st.sampled_from(["records", "queue"]))
    def look(self, data: st.DataObject, after: int, who: str) -> None:
        self.mortal(data, after, who, lambda id: self.note(self.batches.get("me", id)))

    @rule(data=st.data(), after=st.integers(-1, 8), who=st.sampled_from(["records", "queue"]))
    def cancel(self, data: st.DataObject, after: int, who: str) -> None:
        def act(id: str) -> None:
            try:
                self.note(self.batches.cancel("me", id))
                self.cancelled.add(id)
            except Conflict:
                assert self.batches.get("me", id).status in ("completed", "failed", "finalizing")

        self.mortal(data, after, who, act)

    def mortal(self, data: st.DataObject, after: int, who: str, act: Any) -> None:
        if not self.seen:
            return
        id = data.draw(st.sampled_from(sorted(self.seen)))
        getattr(self, who).after = after
        try:
            act(id)
        except Died:
            self.open()
        self.records.after = self.queue.after = -1

    @rule(data=st.data(), state=st.sampled_from(["running", "running", "succeeded", "failed", "cancelled"]))
    def job_moves(self, data: st.DataObject, state: Any) -> None:
        if not self.jobs.jobs:
            return
        id = data.draw(st.sampled_from(sorted(self.jobs.jobs)))
        self.jobs.told[id][1].append({"completed": data.draw(st.integers(0, 2)), "failed": 0})
        if state == "succeeded":
            self.jobs.left[id] = {"output.jsonl": entry(1) + b"\n", "errors.jsonl": b""}
        self.jobs.move(id, state)

    @rule()
    def crash(self) -> None:
        self.open()

    def note(self, batch: Any) -> None:
        before = self.seen.get(batch.id)
        if before is not None:
            assert RANK[batch.status] >= RANK[before.status]
            assert batch.counts.completed >= before.counts.completed
            if before.ended:
                assert batch == before
        if batch.status == "completed":
            content = self.files.read(self.files.get("me", batch.output_file_id))
            assert b"".join(content) == entry(1) + b"\n"
        self.seen[batch.id] = batch

    @invariant()
    def nothing_is_lost_and_cancels_are_final(self) -> None:
        listed = {batch.id: batch for batch in self.batches.page("me", Page(100)).items}
        assert set(self.seen) <= set(listed)
        for id, batch in listed.items():
            if id in self.seen:
                self.note(batch)
            if batch.ended:
                job = self.jobs.jobs.get(batch.job)
                assert job is None or job.state in ("succeeded", "failed", "cancelled")
        for id in self.cancelled:
            assert listed[id].status == "cancelled"
        with suppress(Conflict):
            if any(not batch.ended for batch in listed.values()):
                self.files.delete("me", self.file)
                raise AssertionError("a file in use was deleted")


BatchesMachine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, database=None
)
TestBatches = BatchesMachine.TestCase
