"""RecordStore: what every adapter owes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genai_stack.errors import ConditionFailed, LimitReached, RequestError
from genai_stack.ports import Record, RecordStore
from tests.contracts.adapters import RECORDS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ITEMS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)
IDS = st.text(alphabet="ab/.\0é\uffff\U0001f600", min_size=1, max_size=3) | st.text(min_size=1, max_size=20)
COLLECTIONS = st.sampled_from(["jobs", "files"])
ADDERS = """
import sys
from pathlib import Path
from genai_stack.errors import LimitReached
from tests.contracts.adapters import RECORDS
store = RECORDS[sys.argv[1]](Path(sys.argv[2]))
added = 0
for n in range(int(sys.argv[3])):
    try:
        store.add("usage", "key", 1, ceiling=int(sys.argv[4]))
        added += 1
    except LimitReached:
        pass
    store.put("rows", f"{sys.argv[5]}-{n}", {"n": n}, if_version=0)
print(added)
"""


@pytest.fixture(params=RECORDS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(adapter: str, tmp_path: Path) -> Iterator[RecordStore]:
    store = RECORDS[adapter](tmp_path)
    yield store
    store.close()


def test_versions(store: RecordStore) -> None:
    assert store.get("c", "a") is None
    assert store.put("c", "a", {"x": 1}, if_version=0) == Record("a", {"x": 1}, 1)
    with pytest.raises(ConditionFailed):
        store.put("c", "a", {"x": 2}, if_version=0)
    assert store.put("c", "a", {"x": 2}, if_version=1).version == 2
    assert store.put("c", "a", {"x": 3}).version == 3
    for stale in (1, 2, 4):
        with pytest.raises(ConditionFailed):
            store.put("c", "a", {}, if_version=stale)
        with pytest.raises(ConditionFailed):
            store.delete("c", "a", if_version=stale)
    assert store.get("c", "a") == Record("a", {"x": 3}, 3)
    store.delete("c", "a", if_version=3)
    store.delete("c", "a")
    with pytest.raises(ConditionFailed):
        store.delete("c", "a", if_version=3)
    with pytest.raises(ConditionFailed):
        store.put("c", "a", {}, if_version=3)
    assert store.get("c", "a") is None


def test_an_item_is_a_copy(store: RecordStore) -> None:
    item: dict[str, Any] = {"list": [1]}
    record = store.put("c", "a", item)
    item["list"].append(2)
    assert record.item == {"list": [1]}
    assert store.get("c", "a") == Record("a", {"list": [1]}, 1)


def test_what_is_not_json_is_refused_and_changes_nothing(store: RecordStore) -> None:
    for value in (float("nan"), float("inf"), object()):
        with pytest.raises((ValueError, TypeError)):
            store.put("c", "a", {"x": value})
    assert store.get("c", "a") is None


@pytest.mark.parametrize("id", ["", "x" * 1025, "é" * 513])
def test_ids_out_of_bounds(store: RecordStore, id: str) -> None:
    with pytest.raises(RequestError):
        store.put("c", id, {})
    with pytest.raises(RequestError):
        store.add("c", id, 1)
    assert store.get("c", id) is None
    store.delete("c", id)


@pytest.mark.parametrize(
    "id", ["../../etc/passwd", "a\0b", "x" * 1024, "'; DROP TABLE records; --", "%", "_", "\ud7ff\U0010ffff"]
)
def test_any_other_id_is_only_a_name(store: RecordStore, id: str) -> None:
    store.put("c", id, {"id": 1})
    store.put("c", id + "0" if len(id) < 1024 else "other", {})
    assert store.get("c", id) == Record(id, {"id": 1}, 1)
    assert next(r.id for r in store.query("c", prefix=id)) == id


def test_an_id_that_is_no_utf8_is_a_name_or_refused(store: RecordStore) -> None:
    try:
        store.put("c", "\ud800", {})
    except RequestError:
        assert store.get("c", "\ud800") is None
        assert store.query("c", prefix="\ud800") == []
    else:
        assert store.get("c", "\ud800") == Record("\ud800", {}, 1)


def test_bounds_that_no_id_reaches(store: RecordStore) -> None:
    store.put("c", "a", {})
    store.put("c", "b" * 1024, {})
    assert [r.id for r in store.query("c", after="a" * 5000)] == ["b" * 1024]
    assert [r.id for r in store.query("c", after="b" * 5000, descending=True)] == ["b" * 1024, "a"]
    assert [r.id for r in store.query("c", after="b" * 1023)] == ["b" * 1024]
    assert [r.id for r in store.query("c", prefix="b" * 300)] == ["b" * 1024]
    assert store.query("c", prefix="b" * 5000) == []
    assert store.query("c", after="", descending=True) == []
    assert [r.id for r in store.query("c", after="", limit=1)] == ["a"]


def test_numbers_and_texts_come_back_as_they_were(store: RecordStore) -> None:
    item = {
        "": "",
        "big": 10**60,
        "small": 5e-324,
        "sum": 0.1 + 0.2,
        "surrogate": "\ud800",
        "deep": [[{"x": None}]],
    }
    store.put("c", "a", item)
    assert store.get("c", "a") == Record("a", item, 1)


def test_queries_page_in_both_directions(store: RecordStore) -> None:
    ids = sorted(f"{n:03}" for n in range(25))
    for id in reversed(ids):
        store.put("c", id, {})
    store.put("d", "000", {})
    for descending in (False, True):
        found: list[str] = []
        after = None
        while page := store.query("c", after=after, limit=7, descending=descending):
            assert len(page) <= 7
            found += [record.id for record in page]
            after = page[-1].id
        assert found == (ids[::-1] if descending else ids)
    assert [r.id for r in store.query("c", prefix="01")] == ids[10:20]
    assert [r.id for r in store.query("c", prefix="01", after="015", descending=True)] == ids[10:15][::-1]
    assert store.query("c", limit=0) == []
    assert store.query("nothing") == []


def test_a_record_that_has_expired_is_not_there(store: RecordStore) -> None:
    past, future = time.time() - 1, time.time() + 3600
    store.put("c", "old", {"n": 1}, expires=past)
    store.put("c", "young", {"n": 2}, expires=future)
    store.put("c", "ever", {"n": 3})
    assert store.get("c", "old") is None
    assert store.get("c", "young") == Record("young", {"n": 2}, 1)
    assert [record.id for record in store.query("c")] == ["ever", "young"]
    assert [record.id for record in store.query("c", limit=2, descending=True)] == ["young", "ever"]
    for write in (
        lambda: store.put("c", "old", {}, if_version=1),
        lambda: store.delete("c", "old", if_version=1),
    ):
        with pytest.raises(ConditionFailed):
            write()
    again = store.put("c", "old", {"n": 4}, if_version=0)
    assert store.get("c", "old") == again, "what is written without an end has none"
    assert store.put("c", "young", {"n": 5}, if_version=1, expires=past).version == 2
    assert store.get("c", "young") is None
    store.delete("c", "young")
    store.delete("c", "old", if_version=again.version)


def test_what_expired_takes_no_room_for_long(tmp_path: Path) -> None:
    store, path = RECORDS["local"](tmp_path), tmp_path / "records.sqlite"
    for n in range(60):
        store.put("c", str(n), {}, expires=time.time() + 3600)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET expires = 1")
    for n in range(3):
        store.put("d", str(n), {}, expires=time.time() + 3600)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (3,)
    connection.close()
    store.close()


def test_a_file_from_before_records_expired(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute(
            "CREATE TABLE records (collection BLOB NOT NULL, id BLOB NOT NULL, item TEXT NOT NULL, "
            "version INTEGER NOT NULL, PRIMARY KEY (collection, id)) WITHOUT ROWID"
        )
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?)", (b"c", b"a", '{"n":1}', 4))
    connection.close()
    for _ in range(2):
        store = RECORDS["local"](tmp_path)
        assert store.get("c", "a") == Record("a", {"n": 1}, 4)
        store.put("c", "b", {}, expires=1.0)
        assert store.get("c", "b") is None
        store.close()


def test_counters(store: RecordStore) -> None:
    assert store.add("usage", "a", 0) == 0
    assert store.add("usage", "a", 3) == 3
    assert store.add("usage", "a", 2, ceiling=5) == 5
    with pytest.raises(LimitReached):
        store.add("usage", "a", 1, ceiling=5)
    assert store.add("usage", "a", -2, ceiling=5) == 3
    assert store.add("usage", "b", 1) == 1


@pytest.mark.parametrize("adapter", ["local", pytest.param("aws", marks=pytest.mark.slow)])
def test_counters_and_creates_under_eight_processes(adapter: str, tmp_path: Path) -> None:
    """All eight open a store that isn't there yet, at the same time."""
    each, ceiling = (25, 120) if adapter == "local" else (8, 40)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDERS, adapter, str(tmp_path), str(each), str(ceiling), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    added = [int(process.communicate()[0]) for process in processes]
    store = RECORDS[adapter](tmp_path)
    assert sum(added) == ceiling == store.add("usage", "key", 0)
    assert len(store.query("rows", limit=1000)) == 8 * each
    store.close()


def test_threads_share_a_store(store: RecordStore) -> None:
    won: list[int] = []

    def race(number: int) -> None:
        for step in range(20):
            store.add("usage", "key", 1)
            try:
                store.put("race", str(step), {"by": number}, if_version=0)
                won.append(step)
            except ConditionFailed:
                assert store.get("race", str(step)) is not None

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.add("usage", "key", 0) == 160
    assert sorted(won) == list(range(20))


class RecordsMachine(RuleBasedStateMachine):
    """A store against a dictionary; opening it anew is one more step."""

    adapter = "local"

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.store = RECORDS[self.adapter](Path(self.directory.name))
        self.model: dict[tuple[str, str], tuple[dict[str, Any], int]] = {}
        self.counters: dict[tuple[str, str], int] = {}
        self.expired: dict[tuple[str, str], int] = {}

    @rule(
        c=COLLECTIONS,
        id=IDS,
        item=ITEMS,
        version=st.none() | st.integers(0, 3),
        lasts=st.sampled_from([None, None, 1e6, -1.0]),
    )
    def put(self, c: str, id: str, item: dict[str, Any], version: int | None, lasts: float | None) -> None:
        now = self.model.get((c, id), ({}, 0))[1]
        expires = None if lasts is None else time.time() + lasts
        try:
            record = self.store.put(c, id, item, if_version=version, expires=expires)
        except ConditionFailed:
            assert version not in (None, now)
        else:
            assert version in (None, now)
            before = now or self.expired.pop((c, id), 0)
            assert record in (Record(id, item, now + 1), Record(id, item, before + 1))
            self.model[c, id] = (item, record.version)
            if lasts is not None and lasts < 0:
                del self.model[c, id]
                self.expired[c, id] = record.version

    @rule(c=COLLECTIONS, id=IDS, version=st.none() | st.integers(0, 3))
    def delete(self, c: str, id: str, version: int | None) -> None:
        now = self.model.get((c, id), ({}, 0))[1]
        try:
            self.store.delete(c, id, if_version=version)
        except ConditionFailed:
            assert version not in (None, now)
        else:
            assert version in (None, now)
            self.model.pop((c, id), None)

    @rule(c=COLLECTIONS, id=IDS, amount=st.integers(-5, 5), ceiling=st.none() | st.integers(-3, 8))
    def add(self, c: str, id: str, amount: int, ceiling: int | None) -> None:
        value = self.counters.get((c, id), 0) + amount
        try:
            assert self.store.add(c, id, amount, ceiling=ceiling) == value
            self.counters[c, id] = value
        except LimitReached:
            assert ceiling is not None
            assert value > ceiling

    @rule(
        c=COLLECTIONS,
        prefix=st.just("") | IDS,
        after=st.none() | IDS,
        limit=st.integers(0, 5),
        descending=st.booleans(),
    )
    def query(self, c: str, prefix: str, after: str | None, limit: int, descending: bool) -> None:
        ids = sorted((id for k, id in self.model if k == c and id.startswith(prefix)), reverse=descending)
        if after is not None:
            ids = [id for id in ids if (id < after if descending else id > after)]
        expected = [Record(id, *self.model[c, id]) for id in ids[:limit]]
        assert self.store.query(c, prefix=prefix, after=after, limit=limit, descending=descending) == expected

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = RECORDS[self.adapter](Path(self.directory.name))

    @invariant()
    def everything_is_there(self) -> None:
        for (c, id), (item, version) in getattr(self, "model", {}).items():
            assert self.store.get(c, id) == Record(id, item, version)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.directory.cleanup()


class AwsRecordsMachine(RecordsMachine):
    adapter = "aws"


TestAwsRecordsMachine = pytest.mark.slow(AwsRecordsMachine.TestCase)
TestAwsRecordsMachine.settings = settings(
    max_examples=10, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestRecordsMachine = RecordsMachine.TestCase
TestRecordsMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
