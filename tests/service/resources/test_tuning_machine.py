"""Fine-tuning jobs against a model of them: events in any order, cancels, and a process that dies at any store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from genai_stack.errors import Conflict, GenAIStackError
from genai_stack.protocol.tuning import TuningRequest
from genai_stack.service.resources.files import Files
from genai_stack.service.resources.once import Once
from genai_stack.service.resources.shelf import Page
from genai_stack.service.resources.tuning import Tuning
from genai_stack.service.resources.tuning_records import RANK
from tests.service.fakes import CHAT
from tests.service.resources.conftest import stores
from tests.service.resources.mortal import Died, Mortal
from tests.service.resources.queue import HandQueue


class TuningMachine(RuleBasedStateMachine):
    stores = staticmethod(stores)

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.jobs = HandQueue()
        self.services = self.stores(Path(self.root.name), self.jobs)
        self.seen: dict[str, Any] = {}
        self.number = 0
        self.open()

    def open(self) -> None:
        self.records, self.queue = Mortal(self.services.records), Mortal(self.jobs)
        records: Any = self.records
        queue: Any = self.queue
        once = Once(records)
        self.files = Files(self.services.objects, records, once)
        self.tuning = Tuning(self.files, records, queue, self.services.registry, once)

    def teardown(self) -> None:
        for store in (self.services.objects, self.services.records):
            store.close()  # type: ignore[attr-defined]
        self.root.cleanup()

    @initialize()
    def upload(self) -> None:
        self.file = self.files.create("me", self.files.store([b"{}\n"]), "in", "fine-tune", None).id

    @precondition(lambda self: self.number < 3)
    @rule(after=st.integers(-1, 12), away=st.booleans())
    def create(self, after: int, away: bool) -> None:
        self.number += 1
        request, key = TuningRequest(CHAT, self.file), str(self.number).encode()
        self.jobs.failure = GenAIStackError("the queue is away") if away else None
        self.records.after = after
        try:
            job = self.tuning.create("me", request, key)
        except Died:
            self.open()
            job = self.tuning.create("me", request, key)
        self.records.after = -1
        self.note(job)
        assert self.tuning.create("me", request, key).id == job.id
        assert len(self.tuning.page("me", Page(100), lambda _: True).items) == self.number

    @rule(
        data=st.data(),
        after=st.integers(-1, 8),
        who=st.sampled_from(["records", "queue"]),
        order=st.sampled_from(["get", "get", "cancel", "pause", "pause", "resume"]),
    )
    def look_or_order(self, data: st.DataObject, after: int, who: str, order: str) -> None:
        if not self.seen:
            return
        id = data.draw(st.sampled_from(sorted(self.seen)))
        getattr(self, who).after = after
        try:
            job = getattr(self.tuning, order)("me", id)
            self.note(job)
            assert order != "cancel" or job.status == "cancelled"
            assert order != "pause" or job.holding
            assert order != "resume" or not job.paused
        except Conflict:
            self.records.after = self.queue.after = -1
            job = self.tuning.get("me", id)
            ended = job.status == "cancelled" or job.stopping
            assert job.status in ("succeeded", "failed") or (order != "cancel" and ended)
        except Died:
            self.open()
        finally:
            self.records.after = self.queue.after = -1

    @rule(data=st.data(), state=st.sampled_from(["running", "running", "succeeded", "failed", "cancelled"]))
    def job_moves(self, data: st.DataObject, state: Any) -> None:
        if not self.jobs.jobs:
            return
        id = data.draw(st.sampled_from(sorted(self.jobs.jobs)))
        self.jobs.told[id][1].append({"step": 1, "loss": 1.0})
        self.jobs.move(id, state, **({"model": "m"} if state == "succeeded" else {}))

    @rule()
    def crash(self) -> None:
        self.open()

    def note(self, job: Any) -> None:
        before = self.seen.get(job.id)
        if before is not None:
            assert job.paused or job.life > before.life or RANK[job.status] >= RANK[before.status]
            assert not before.paused or job.paused or job.life > before.life or job.ended
            assert not before.ended or job == before
        if job.status == "succeeded":
            assert job.fine_tuned_model == "m"
            assert self.files.find("me", job.results) is not None
        self.seen[job.id] = job

    @invariant()
    def ends_are_ends_on_both_sides(self) -> None:
        for job in self.tuning.page("me", Page(100), lambda _: True).items:
            if job.id in self.seen:
                self.note(job)
            theirs = self.jobs.jobs.get(job.id)
            assert not job.ended or theirs is None or theirs.state == job.status
            assert not job.holding or theirs is None or theirs.state not in ("queued", "running")
            assert not job.paused or theirs is None or theirs.state == "paused"
            assert job.paused or theirs is None or theirs.state != "paused"
        listed = self.files.page("me", Page(100), "fine-tune-results").items
        assert len(listed) == sum(job.kept for job in self.seen.values())


TuningMachine.TestCase.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, database=None
)
TestTuning = TuningMachine.TestCase
