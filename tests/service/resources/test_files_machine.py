"""Files against a model of them, with a crash (the application anew over the same stores) as one of the steps."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from genai_stack.errors import Conflict, NotFound
from genai_stack.service.resources.files import Files
from genai_stack.service.resources.once import Once
from genai_stack.service.resources.shelf import Page
from tests.service.resources.conftest import stores
from tests.service.resources.mortal import Died, Mortal
from tests.service.resources.queue import HandQueue

TENANTS = st.sampled_from(["one", "two"])
KEYS = st.sampled_from([b"k1", b"k2"])


class FilesMachine(RuleBasedStateMachine):
    stores = staticmethod(stores)
    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.TemporaryDirectory()
        self.services = self.stores(Path(self.root.name), HandQueue())
        self.expected: dict[str, list[tuple[str, bytes]]] = {"one": [], "two": []}
        self.claimed: dict[tuple[str, bytes], tuple[str, bytes]] = {}
        self.busy: set[str] = set()
        self.open()

    def open(self) -> None:
        self.files = Files(self.services.objects, self.services.records, Once(self.services.records))
        self.files.busy["batch_"] = lambda tenant, user: user in self.busy

    def teardown(self) -> None:
        for store in (self.services.objects, self.services.records):
            store.close()  # type: ignore[attr-defined]
        self.root.cleanup()

    @rule(target=made, tenant=TENANTS, content=st.binary(max_size=8))
    def create(self, tenant: str, content: bytes) -> tuple[str, str]:
        file = self.files.create(tenant, self.files.store([content]), "a", "fine-tune", None)
        self.expected[tenant].append((file.id, content))
        return tenant, file.id

    @rule(tenant=TENANTS, content=st.sampled_from([b"a", b"b"]), key=KEYS, dies=st.booleans())
    def create_once(self, tenant: str, content: bytes, key: bytes, dies: bool) -> None:
        claimed = self.claimed.get((tenant, key))
        gone = claimed and claimed not in self.expected[tenant]
        try:
            blob = self.files.store([content])
            file = self.files.create(tenant, blob, "a", "fine-tune", None, key)
            if dies:  # the answer is lost, and so is the process
                self.open()
        except Conflict:
            assert claimed
            assert gone or claimed[1] != content
            return
        assert not claimed or claimed == (file.id, content)
        if not claimed:
            self.claimed[tenant, key] = file.id, content
            self.expected[tenant].append((file.id, content))

    @rule(tenant=TENANTS, after=st.integers(0, 5))
    def dies_while_it_makes_a_file(self, tenant: str, after: int) -> None:
        """Then what is listed is whole, and what isn't is swept away."""
        before = [id for id, _ in self.expected[tenant]]
        records: Any = Mortal(self.services.records)
        records.after = after
        files = Files(self.services.objects, records, Once(records))
        files.drop = self._die  # type: ignore[method-assign]
        with suppress(Died):
            files.create(tenant, files.store([b"dies"]), "a", "fine-tune", None)
        self.open()
        self.files.unfiled.sweep(older=-1.0)
        for file in self.files.page(tenant, Page(1000, None, "asc"), None).items:
            if file.id not in before:
                self.expected[tenant].append((file.id, b"dies"))
        assert not self.services.records.query("unfiled")

    @rule(file=made, user=st.sampled_from(["batch_1", "batch_2"]))
    def use(self, file: tuple[str, str], user: str) -> None:
        there = file[1] in dict(self.expected[file[0]])
        try:
            self.files.use(*file, user)
            assert there
            self.busy.add(user)
            self.used = getattr(self, "used", set()) | {(file[1], user)}
        except NotFound:
            assert not there

    @rule(user=st.sampled_from(["batch_1", "batch_2"]))
    def end(self, user: str) -> None:
        self.busy.discard(user)

    @rule(file=made, dies=st.booleans())
    def delete(self, file: tuple[str, str], dies: bool) -> None:
        tenant, id = file
        there = id in dict(self.expected[tenant])
        needed = any(f == id and user in self.busy for f, user in getattr(self, "used", set()))
        if dies:
            self.files._bury = self._die  # type: ignore[method-assign]
        try:
            self.files.delete(tenant, id)
        except NotFound:
            assert not there
            return
        except Conflict:
            assert needed
            return
        except Died:
            pass
        finally:
            self.open()
        assert there
        assert not needed
        self.expected[tenant] = [(f, content) for f, content in self.expected[tenant] if f != id]

    def _die(self, *_: object) -> None:
        raise Died

    @rule(file=consumes(made))
    def foreign(self, file: tuple[str, str]) -> None:
        tenant = "two" if file[0] == "one" else "one"
        assert self.files.find(tenant, file[1]) is None

    @rule()
    def crash(self) -> None:
        self.open()

    @invariant()
    def what_is_listed_is_there(self) -> None:
        for tenant, expected in self.expected.items():
            seen, after = [], None
            while True:
                found = self.files.page(tenant, Page(2, after, "asc"), None)
                seen += [(f.id, b"".join(self.files.read(f))) for f in found.items]
                if not found.has_more:
                    break
                after = found.items[-1].id
            assert seen == expected
        assert len(self.services.objects.list("files/")) == sum(map(len, self.expected.values()))


FilesMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=15, deadline=None, database=None)
TestFiles = FilesMachine.TestCase
