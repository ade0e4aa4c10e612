"""Films against a model of them: made by this process and by a host of its own, in any order, with crashes."""

from __future__ import annotations

import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from genai_stack.errors import Conflict, EngineFailed, NotFound
from genai_stack.protocol.videos import VideoError, VideoRequest
from genai_stack.service import accounts
from genai_stack.service.charging import Charges
from genai_stack.service.ledger import Ledger
from genai_stack.service.limits import Limiter
from genai_stack.service.prices import Prices
from genai_stack.service.resources.once import Once
from genai_stack.service.resources.shelf import Page
from genai_stack.service.resources.unfiled import Unfiled
from genai_stack.service.videos.records import KEPT_SECONDS, LEASE_SECONDS, StoredVideo
from genai_stack.service.videos.videos import Videos
from tests.service.resources.conftest import stores
from tests.service.resources.mortal import Died, Mortal
from tests.service.resources.queue import HandQueue
from tests.service.videos.filming import MP4, LongHost

TENANTS = st.sampled_from(["one", "two"])
KEYS = st.sampled_from([None, b"k1", b"k2"])
RANK = {"queued": 0, "in_progress": 1, "completed": 2, "failed": 2}
Name = tuple[str, str]


class VideosMachine(RuleBasedStateMachine):
    stores = staticmethod(stores)
    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.services = self.stores(Path(self.root.name), HandQueue())
        self.host, self.past = LongHost(), 0.0
        self.there: dict[Name, str] = {}
        self.claimed: dict[tuple[str, bytes], tuple[str, str]] = {}
        self.questions: dict[Name, str] = {}
        self.open()

    def open(self, records: Any = None) -> Videos:
        records = records or self.services.records
        charges = Charges(Ledger(records), Prices(), Limiter(records))
        self.videos = Videos(
            self.services.objects, records, Once(records), charges, self.host,
            clock=lambda: time.time() + self.past,
        )  # fmt: skip
        return self.videos

    def teardown(self) -> None:
        for store in (self.services.objects, self.services.records):
            store.close()  # type: ignore[attr-defined]
        self.root.cleanup()

    @rule(target=made, tenant=TENANTS, prompt=st.sampled_from(["a", "b"]), key=KEYS, dies=st.booleans())
    def create(self, tenant: str, prompt: str, key: bytes | None, dies: bool) -> Name:
        before = self.claimed.get((tenant, key or b""))
        try:
            claim, there = self.videos.claim(tenant, key, prompt)
        except Conflict:
            assert before
            assert before[1] != prompt or (tenant, before[0]) not in self.there
            return tenant, before[0]
        if there is None:
            request = VideoRequest(prompt, "films")
            new = StoredVideo(claim.id, int(time.time()), tenant, request)
            there, added = self.videos.queue(tenant, claim, new)
            assert added
            self.there[tenant, claim.id] = "queued"
            if not dies:  # else before it could say so
                self.videos.made(tenant, key, claim)
        assert before is None or before == (there.id, prompt)
        if key is not None:
            self.claimed[tenant, key] = there.id, prompt
        if dies:
            self.open()
        return tenant, there.id

    @rule(name=made)
    def begin(self, name: Name) -> None:
        self.moved(name, lambda: self.videos.begin(*name))

    @rule(name=made)
    def hand_over(self, name: Name) -> None:
        order = self.host.taken("films", "/v1/videos/sync", b"", "")
        self.moved(name, lambda: self.videos.ordered(*name, order))
        record = self.services.records.get(f"videos/{name[0]}", name[1])
        if record is not None and (record.item.get("order") or {}).get("question") == order.question:
            self.questions[name] = order.question
        else:
            assert order.question in self.host.withdrawn

    @rule(name=made, good=st.booleans())
    def answer(self, name: Name, good: bool) -> None:
        content = [MP4] if good else [b"no film at all"]
        with suppress(EngineFailed):
            self.moved(name, lambda: self.videos.complete(*name, content, ended=time.time(), served=1.0))

    @rule(name=made)
    def fail(self, name: Name) -> None:
        self.moved(name, lambda: self.videos.fail(*name, VideoError("server_error", "x")))

    @rule(name=made, good=st.booleans())
    def host_answers(self, name: Name, good: bool) -> None:
        """It is taken by whoever looks next."""
        if question := self.questions.get(name):
            if question in self.host.withdrawn:
                return
            if good:
                self.host.made[question] = MP4
            else:
                self.host.broke[question] = "out of memory"

    @rule(name=made, after=st.integers(0, 8))
    def dies_while_it_keeps_a_film(self, name: Name, after: int) -> None:
        records: Any = Mortal(self.services.records)
        records.after = after
        videos = self.open(records)
        videos._unfiled.drop = self.die  # type: ignore[method-assign]
        with suppress(Died, NotFound):
            videos.complete(*name, [MP4], ended=time.time(), served=1.0)
        self.open()
        Unfiled(self.services.objects, self.services.records).sweep(older=-1.0)
        if name in self.there:
            self.look(name)

    @rule(name=made, dies=st.booleans())
    def delete(self, name: Name, dies: bool) -> None:
        if dies:
            self.videos._bury = self.die  # type: ignore[method-assign]
        try:
            self.videos.delete(*name)
        except NotFound:
            assert name not in self.there
            return
        except Died:
            pass
        finally:
            self.open()
        del self.there[name]

    @rule(name=made)
    def look(self, name: Name) -> None:
        found = self.videos.find(*name)
        assert (found is not None) == (name in self.there)
        if found is not None:
            assert RANK[found.status] >= RANK[self.there[name]]
            if self.there[name] in ("completed", "failed"):
                assert found.status == self.there[name]
            self.there[name] = found.status

    @rule()
    def time_passes(self) -> None:
        """Long enough for a promise to run out: whoever had made it is dead."""
        self.past += LEASE_SECONDS + 1
        self.open()

    @rule(sweeps=st.booleans())
    def a_month_passes(self, sweeps: bool) -> None:
        for name in self.there:
            self.look(name)
        self.past += KEPT_SECONDS + 1
        self.there = {name: status for name, status in self.there.items() if status != "completed"}
        if sweeps:  # then what has expired is gone before anybody looks
            self.videos.sweep()
            query = self.services.records.query
            left = [record.id for tenant in ("one", "two") for record in query(f"videos/{tenant}")]
            assert sorted(left) == sorted(id for _, id in self.there)
            assert self.services.objects.list("files/") == []

    @rule(name=consumes(made))
    def foreign(self, name: Name) -> None:
        assert self.videos.find("two" if name[0] == "one" else "one", name[1]) is None

    @invariant()
    def what_is_listed_is_there(self) -> None:
        for tenant in ("one", "two"):
            mine = [name for name in self.there if name[0] == tenant]
            assert [v.id for v in self.videos.page(tenant, Page(100, None, "asc")).items] == [
                id for _, id in mine
            ]
            for name in mine:
                self.look(name)
                if self.there[name] == "completed":
                    _, blob = self.videos.content(*name)
                    assert b"".join(self.videos.read(blob)) == MP4
            what = [
                entry.what
                for entry in accounts.entries(self.services.records, tenant, "2000-01-01", "2999-01-01")
            ]
            assert len(set(what)) == len(what), "charged once"
        kept = sum(status == "completed" for status in self.there.values())
        assert len(self.services.objects.list("files/")) == kept

    def moved(self, name: Name, step: Any) -> None:
        try:
            step()
        except NotFound:
            assert name not in self.there
        else:
            assert name in self.there
            self.look(name)

    def die(self, *_: object) -> None:
        raise Died


VideosMachine.TestCase.settings = settings(
    max_examples=10, stateful_step_count=15, deadline=None, database=None
)
TestVideos = VideosMachine.TestCase
