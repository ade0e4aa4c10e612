"""ObjectStore: what every adapter owes."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from genai_stack.errors import ObjectNotFound, RequestError
from genai_stack.ports import ObjectStore
from genai_stack.wiring import object_store
from tests.contracts.adapters import OBJECTS, takes_key

ODD_KEYS = [
    "../../escape",
    "/etc/passwd",
    "a/../b",
    "a//b",
    "a/",
    "a",
    "A",
    "a\0b",
    ".",
    "..",
    "C:\\x",
    "con",
    "é",
    "e\u0301",
    "\U0001f600",
    "x" * 1024,
    " ",
    "\n",
    "%2e",
]
KEYS = st.text(alphabet="aA/.é\U0001f600", min_size=1, max_size=4) | st.sampled_from(ODD_KEYS)


@pytest.fixture(params=OBJECTS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(adapter: str, tmp_path: Path) -> Iterator[ObjectStore]:
    store = OBJECTS[adapter](tmp_path)
    yield store
    store.close()


def test_put_and_get(store: ObjectStore) -> None:
    info = store.put("files/a", b"hello")
    assert (info.key, info.bytes, info.sha256) == ("files/a", 5, hashlib.sha256(b"hello").hexdigest())
    assert store.get("files/a") == b"hello"
    assert store.head("files/a") == info
    assert store.list() == [info]
    assert store.put("empty", b"").bytes == 0
    assert store.get("empty") == b""


def test_parts_and_ranges(store: ObjectStore) -> None:
    data = bytes(range(256)) * 20_000
    assert store.put("big", (data[i : i + 70_000] for i in range(0, len(data), 70_000))).bytes == len(data)
    chunks = list(store.read("big"))
    assert len(chunks) > 1
    assert b"".join(chunks) == data
    for start, end in [
        (0, 10),
        (5, 5),
        (100, 3_000_000),
        (len(data) - 1, None),
        (len(data), None),
        (7, 10**9),
        (9, 3),
    ]:
        assert b"".join(store.read("big", start, end)) == data[start:end]


def test_what_is_not_there(store: ObjectStore) -> None:
    for call in (store.get, store.head, store.read):
        with pytest.raises(ObjectNotFound):
            call("nothing")
    store.delete("nothing")
    assert store.list() == []


def test_a_put_that_breaks_changes_nothing(store: ObjectStore) -> None:
    store.put("key", b"old")

    def parts() -> Iterator[bytes]:
        yield b"new"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.put("key", parts())
    with pytest.raises(ConnectionError):
        store.put("other", parts())
    assert store.get("key") == b"old"
    assert [info.key for info in store.list()] == ["key"]


def test_a_reader_keeps_what_it_opened(store: ObjectStore) -> None:
    store.put("key", b"old" * 1_000_000)
    reader = store.read("key")
    dropped = store.read("key")
    store.put("key", b"new")
    store.delete("key")
    assert b"".join(reader) == b"old" * 1_000_000
    del dropped


def test_odd_keys_stay_apart_and_inside(store: ObjectStore, adapter: str, tmp_path: Path) -> None:
    taken = [key for key in ODD_KEYS if takes_key(adapter, key)]
    for key in taken:
        store.put(key, key.encode())
    for key in taken:
        assert store.get(key) == key.encode()
    assert [info.key for info in store.list()] == sorted(taken)
    assert {path.name for path in tmp_path.iterdir()} <= {"objects"}
    assert not (tmp_path.parent / "escape").exists()


def test_keys_that_are_no_names_are_refused_or_taken_as_they_are(store: ObjectStore, adapter: str) -> None:
    for key in (k for k in ODD_KEYS if not takes_key(adapter, k)):
        for call in (store.get, store.head, store.read, store.delete, lambda k: store.put(k, b"")):
            with pytest.raises(RequestError, match="between slashes"):
                call(key)
    assert store.list() == []


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "\ud800"])
def test_keys_out_of_bounds(store: ObjectStore, key: str) -> None:
    for call in (store.get, store.head, store.read, store.delete):
        with pytest.raises(RequestError):
            call(key)
    with pytest.raises(RequestError):
        store.put(key, b"")


def test_lists_page(store: ObjectStore) -> None:
    keys = sorted(f"files/{n:02}" for n in range(20))
    for key in keys:
        store.put(key, b"")
    store.put("other/1", b"")
    found: list[str] = []
    after = None
    while page := store.list("files/", after=after, limit=6):
        found += [info.key for info in page]
        after = page[-1].key
    assert found == keys
    assert store.list("files/", limit=0) == []


def test_puts_of_one_key_leave_one_whole_object(store: ObjectStore) -> None:
    contents = [bytes([n]) * 300_000 for n in range(8)]
    seen: list[bytes] = []
    store.put("key", contents[0])

    def write(n: int) -> None:
        for _ in range(5):
            store.put("key", contents[n])
            seen.append(store.get("key"))

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 40
    assert set(seen) <= set(contents)
    last = store.get("key")
    assert store.head("key").sha256 == hashlib.sha256(last).hexdigest()


class ObjectsMachine(RuleBasedStateMachine):
    """A store against a dictionary; opening it anew is one more step."""

    adapter = "local"

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.store = OBJECTS[self.adapter](Path(self.directory.name))
        self.model: dict[str, bytes] = {}

    @rule(key=KEYS, data=st.binary(max_size=40) | st.lists(st.binary(max_size=9), max_size=4))
    def put(self, key: str, data: bytes | list[bytes]) -> None:
        key = self.held(key)
        whole = data if isinstance(data, bytes) else b"".join(data)
        info = self.store.put(key, data)
        assert (info.key, info.bytes, info.sha256) == (key, len(whole), hashlib.sha256(whole).hexdigest())
        self.model[key] = whole

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        key = self.held(key)
        try:
            assert self.store.get(key) == self.model[key]
        except ObjectNotFound:
            assert key not in self.model

    @rule(key=KEYS, start=st.integers(0, 50), end=st.none() | st.integers(0, 50))
    def read(self, key: str, start: int, end: int | None) -> None:
        key = self.held(key)
        try:
            assert b"".join(self.store.read(key, start, end)) == self.model[key][start:end]
        except ObjectNotFound:
            assert key not in self.model

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        key = self.held(key)
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(prefix=st.just("") | KEYS, after=st.none() | KEYS, limit=st.integers(0, 6))
    def list(self, prefix: str, after: str | None, limit: int) -> None:
        keys = sorted(k for k in self.model if k.startswith(prefix) and (after is None or k > after))
        found = self.store.list(prefix, after=after, limit=limit)
        assert [info.key for info in found] == keys[:limit]
        assert [info.bytes for info in found] == [len(self.model[key]) for key in keys[:limit]]

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = OBJECTS[self.adapter](Path(self.directory.name))

    def held(self, key: str) -> str:
        return key if takes_key(self.adapter, key) else f"{key}x".replace("/.", "/_").replace("./", "_/")

    def teardown(self) -> None:
        if hasattr(self, "store"):
            for key, data in self.model.items():
                assert self.store.get(key) == data
            self.store.close()
            self.directory.cleanup()


class AwsObjectsMachine(ObjectsMachine):
    adapter = "aws"


TestAwsObjectsMachine = pytest.mark.slow(AwsObjectsMachine.TestCase)
TestAwsObjectsMachine.settings = settings(
    max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestObjectsMachine = ObjectsMachine.TestCase
TestObjectsMachine.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_an_address_is_where_a_job_reads_it(store: ObjectStore) -> None:
    store.put("a/b.txt", b"content")
    address = store.address("a/b.txt")
    if address.startswith("s3://"):
        there, key = object_store(address)
        assert there.get(key) == b"content"
    else:
        assert Path(address).read_bytes() == b"content"
    with pytest.raises(ObjectNotFound):
        store.address("a/c.txt")
