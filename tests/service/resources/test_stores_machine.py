"""Vector stores against a model of them: files come and go, are indexed or not, and the process dies at any record."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genai_stack.errors import Conflict, NotFound
from genai_stack.local.vectors import SqliteVectors
from genai_stack.ports import Passage, VectorIndex
from genai_stack.protocol.stores import FileFault, StoreFileRequest, StoreRequest
from genai_stack.service.resources.files import Files
from genai_stack.service.resources.once import Once
from genai_stack.service.resources.shelf import Page
from genai_stack.service.resources.store_files import StoreFiles
from genai_stack.service.resources.store_records import Wanted
from genai_stack.service.resources.stores import Stores
from tests.service.resources.conftest import stores
from tests.service.resources.embedding import vector
from tests.service.resources.mortal import Died, Mortal
from tests.service.resources.queue import HandQueue

AFTER = st.integers(-1, 12)


class StoresMachine(RuleBasedStateMachine):
    stores = staticmethod(stores)
    vectors = staticmethod(lambda root: SqliteVectors(root / "vectors"))

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.services = self.stores(Path(self.root.name), HandQueue())
        self.index: VectorIndex = self.vectors(Path(self.root.name))
        self.uploaded: set[str] = set()
        self.expected: dict[str, set[str]] = {}
        self.number = 0
        self.open()

    def open(self) -> None:
        self.records: Any = Mortal(self.services.records)
        once = Once(self.records)
        self.files = Files(self.services.objects, self.records, once)
        self.kept = StoreFiles(self.files, self.records, self.index, once)
        self.all = Stores(self.kept, self.records, self.services.registry, self.index, once)

    def teardown(self) -> None:
        self.index.close()
        for store in (self.services.objects, self.services.records):
            store.close()  # type: ignore[attr-defined]
        self.root.cleanup()

    def mortal(self, after: int, act: Callable[[], Any]) -> Any:
        """`act`, in a process that dies after so many calls; then whoever asked asks again."""
        self.records.after = after
        try:
            return act()
        except Died:
            self.open()
            return act()
        finally:
            self.records.after = -1

    def gone(self, after: int, act: Callable[[], Any]) -> None:
        try:
            self.mortal(after, act)
        except NotFound:
            assert after >= 0  # it was done before the process died

    @initialize()
    def upload(self) -> None:
        for n in range(4):
            made = self.files.create("me", self.files.store([b"x"]), f"{n}.txt", "assistants", None)
            self.uploaded.add(made.id)

    def store(self, data: st.DataObject) -> str | None:
        return data.draw(st.sampled_from(sorted(self.expected))) if self.expected else None

    @rule(data=st.data(), after=AFTER)
    def create(self, data: st.DataObject, after: int) -> None:
        if len(self.expected) > 2:
            return
        self.number += 1
        ids = data.draw(st.sets(st.sampled_from(sorted(self.uploaded)))) if self.uploaded else set()
        key, request = str(self.number).encode(), StoreRequest(file_ids=sorted(ids))
        made = self.mortal(after, lambda: self.all.create("me", request, key))
        self.expected[made.id] = set(ids)
        assert self.all.create("me", request, key).id == made.id

    @rule(data=st.data(), after=AFTER, colour=st.sampled_from(["red", "blue"]))
    def attach(self, data: st.DataObject, after: int, colour: str) -> None:
        if (store := self.store(data)) and self.uploaded:
            id = data.draw(st.sampled_from(sorted(self.uploaded)))
            self.mortal(after, lambda: self.kept.attach("me", store, Wanted(id, {"colour": colour}), None))
            self.expected[store].add(id)
            assert self.kept.get("me", store, id).attributes == {"colour": colour}

    @rule(data=st.data(), after=AFTER)
    def batch(self, data: st.DataObject, after: int) -> None:
        if (store := self.store(data)) and self.uploaded:
            self.number += 1
            ids = data.draw(st.sets(st.sampled_from(sorted(self.uploaded)), min_size=1))
            asked, key = [StoreFileRequest(id) for id in sorted(ids)], str(self.number).encode()
            made = self.mortal(after, lambda: self.kept.create_batch("me", store, asked, key))
            self.expected[store] |= ids
            assert self.kept.batch_counts("me", store, made).total == len(ids)

    @rule(data=st.data(), after=AFTER, fails=st.booleans(), deleted=st.booleans())
    def work(self, data: st.DataObject, after: int, fails: bool, deleted: bool) -> None:
        """The indexing's part; what it works on may go meanwhile."""
        if not (store := self.store(data)) or not self.expected[store]:
            return
        place = "me", store, data.draw(st.sampled_from(sorted(self.expected[store])))
        if (work := self.kept.work(place)) is None:
            return
        kept = work[1]
        if deleted:
            self.kept.detach(*place)
            self.expected[store].discard(place[2])
        fault = FileFault("invalid_file", "It went off.")

        def act() -> None:
            if fails:
                self.kept.failed(place, kept, fault)
            else:
                usage = self.index.put(store, kept.indexed, [Passage(0, 1, "x")], vector("x"), [0])
                self.kept.completed(place, kept, usage)

        self.mortal(after, act)

    @rule(data=st.data(), after=AFTER)
    def detach(self, data: st.DataObject, after: int) -> None:
        if (store := self.store(data)) and self.expected[store]:
            id = data.draw(st.sampled_from(sorted(self.expected[store])))
            self.gone(after, lambda: self.kept.detach("me", store, id))
            self.expected[store].discard(id)

    @rule(data=st.data(), after=AFTER)
    def delete_store(self, data: st.DataObject, after: int) -> None:
        if store := self.store(data):
            self.gone(after, lambda: self.all.delete("me", store))
            del self.expected[store]

    @rule(data=st.data(), after=AFTER)
    def delete_file(self, data: st.DataObject, after: int) -> None:
        if not self.uploaded:
            return
        id = data.draw(st.sampled_from(sorted(self.uploaded)))
        reading = any(
            id in files and self.kept.get("me", store, id).status == "in_progress"
            for store, files in self.expected.items()
        )
        try:
            self.gone(after, lambda: self.files.delete("me", id))
        except Conflict:
            assert reading
            return
        assert not reading
        self.uploaded.discard(id)
        for files in self.expected.values():
            files.discard(id)

    @rule()
    def crash(self) -> None:
        self.open()

    @invariant()
    def stores_hold_what_they_should(self) -> None:
        assert {store.id for store in self.all.page("me", Page(100)).items} == set(self.expected)
        for store, ids in self.expected.items():
            listed = {kept.id: kept for kept in self.kept.page("me", store, Page(100)).items}
            assert set(listed) == ids
            hits = self.index.nearest(store, vector("x"), 10)
            gone = self.kept.gone("me", store, {hit.file.id for hit in hits})
            found = {hit.file.id: hit.file for hit in hits if hit.file.id not in gone}
            done = {id: kept for id, kept in listed.items() if kept.status == "completed"}
            assert set(done) <= set(found) <= ids
            for id, kept in done.items():
                assert found[id].attributes == kept.attributes
            assert self.all.find("you", store) is None
        assert not self.all.page("you", Page(10)).items


StoresMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, database=None
)
TestStores = StoresMachine.TestCase
