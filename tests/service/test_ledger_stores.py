"""The ledger over its stores: nothing lost that a store took late, nothing counted twice, and what a kill takes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.errors import NotDeployedError
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import RecordStore
from genai_stack.service import accounts
from genai_stack.service import ledger as ledger_module
from genai_stack.service.accounts import COLUMNS, UsageRow
from genai_stack.service.charging import Charges
from genai_stack.service.ledger import Entry, Ledger
from genai_stack.service.limits import Limiter
from genai_stack.service.prices import Prices
from genai_stack.service.tab import COLLECTION, Tabs
from genai_stack.service.usage import Used
from tests.aws.account import account
from tests.contracts.adapters import RECORDS
from tests.service.fakes import (
    CHAT,
    TUNED,
    MemoryRecords,
)  # fmt: skip
from tests.service.resources.mortal import Died, Mortal
from tests.service.test_ledger import CONFIG, ROUTE


class Sulking(MemoryRecords):
    """Refuses writes while `down`; with `forgetful` takes them and says it didn't."""

    down = False
    forgetful = 0

    def put(self, collection: str, id: str, item: Any, **options: Any) -> Any:
        if self.down:
            raise OSError("no store")
        record = super().put(collection, id, item, **options)
        if self.forgetful:
            self.forgetful -= 1
            raise OSError("lost the answer")
        return record


def entry(n: int, **changes: Any) -> Entry:
    given = {
        "time": 1_800_000_000.0 + n, "tenant": "t", "key": "k", "model": "m", "route": ROUTE, "status": 200,
        "outcome": "answered", "prompt": n, "completion": 1, "cached": 0, "cost": n, "first": 0.1, "seconds": 0.2,
        "what": f"req_{n}",
    }  # fmt: skip
    return Entry(**{**given, **changes})


async def test_entries_wait_for_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "FLUSH_SECONDS", 0.01)
    monkeypatch.setattr(ledger_module, "MOST", 50)
    records = Sulking()
    ledger = Ledger(records)
    records.down = True
    for n in range(50):
        ledger.check()
        ledger.note(entry(n))
    await asyncio.sleep(0.05)
    with pytest.raises(NotDeployedError):
        ledger.check()
    records.down, records.forgetful = False, 2
    await ledger.close()
    ledger.check()
    found = list(accounts.entries(records, "t", "2000-01-01", "2999-01-01"))
    assert sorted(e.prompt for e in found) == list(range(50)), "each once, though two answers were lost"


async def test_a_store_that_stays_away_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "CLOSING_SECONDS", 0.1)
    records = Sulking()
    records.down = True
    ledger = Ledger(records)
    ledger.note(entry(1))
    await ledger.close()
    assert '"event":"ledger_lost","entries":1' in caplog.text


ENTRIES = st.lists(
    st.builds(
        entry,
        st.integers(0, 10**6),
        tenant=st.sampled_from("tu"), key=st.sampled_from("kl"), model=st.sampled_from(["m", "n", ""]),
        prompt=st.integers(0, 10**9), completion=st.integers(0, 10**9), cost=st.integers(0, 10**15),
        outcome=st.sampled_from(["answered", "refused", "failed", "left"]),
    ),
    max_size=30,
)  # fmt: skip


@given(ENTRIES, st.sets(st.sampled_from(COLUMNS)))
def test_any_division_adds_up_to_the_whole(found: list[Entry], by: set[Any]) -> None:
    rows = accounts.add_up(found, [column for column in COLUMNS if column in by])
    whole = accounts.total(rows)
    want = UsageRow(
        requests=len(found), failed=sum(e.outcome != "answered" for e in found),
        prompt_tokens=sum(e.prompt for e in found), cached_tokens=sum(e.cached for e in found),
        completion_tokens=sum(e.completion for e in found), nano_usd=sum(e.cost for e in found),
        usd=sum(e.cost for e in found) / 1e9,
    )  # fmt: skip
    assert whole == want
    assert len({(row.day, row.tenant, row.key, row.model) for row in rows}) == len(rows)


@pytest.mark.parametrize("adapter", RECORDS)
def test_both_stores_keep_days_and_tenants_apart(
    adapter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
    records: RecordStore = RECORDS[adapter](tmp_path)
    ledger, day = Ledger(records), 86_400
    written = [entry(n * day // 4, tenant=f"t{n % 2}") for n in range(20)]
    for place, id, page in ledger_module._pages(written):
        ledger.write(place, id, page)
        ledger.write(place, id, page)
    assert accounts.tenants(records) == ["t0", "t1"]
    days = sorted({ledger_module.day_of(e.time) for e in written})
    for tenant in ("t0", "t1"):
        found = list(accounts.entries(records, tenant, days[1], days[2]))
        assert found == [e for e in written if e.tenant == tenant and ledger_module.day_of(e.time) in days[1:3]]
    assert len(list(accounts.entries(records, "t", days[0], days[-1]))) == 0


def test_a_crash_between_ledger_and_budget_loses_nothing() -> None:
    records = MemoryRecords()
    dying = Mortal(records)
    seen: dict[str, Any] = {
        "id": "batch_1", "tenant": "t", "key": "k", "model": CHAT, "base": None, "ended": 1e9, "began": 9e8,
    }  # fmt: skip
    for after in range(12):
        dying.after = after
        with suppress(Died):
            Charges(Ledger(dying), Prices(CONFIG.prices), Limiter(dying)).batch(**seen, used=Used(1000, 100))
    (batch,) = accounts.entries(records, "t", "2001-09-09", "2001-09-09")
    assert batch.cost > 0
    assert records.kept[COLLECTION, "k"].item["spent"] == batch.cost


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 100)), max_size=20))
def test_what_is_told_late_counts_once(told: list[tuple[str, int]]) -> None:
    records = MemoryRecords()
    for what, nano in told:
        for _ in range(2):
            Tabs(records, "p").spend("k", what, nano)
    assert Tabs(records, "p").read("k").spent == sum(dict(told).values())


async def test_two_who_write_at_once_lose_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "PAGE", 1)
    records, met = MemoryRecords(), threading.Barrier(2)

    class Shared(list[Any]):
        """Two who have written the first page strike it off in the same moment."""

        def __delitem__(self, at: Any) -> None:
            for step in (lambda: super(Shared, self).__delitem__(at), lambda: None):
                with suppress(threading.BrokenBarrierError):
                    met.wait(1)
                step()

    ledger = Ledger(records)
    ledger._unwritten = Shared()
    for n in range(3):
        ledger.note(entry(n))
    ledger._due()
    await asyncio.gather(ledger._flushed(), ledger.close())
    found = list(accounts.entries(records, "t", "2000-01-01", "2999-01-01"))
    assert sorted(e.prompt for e in found) == list(range(3))


def test_a_batch_is_charged_once_with_the_most_anyone_saw() -> None:
    records = MemoryRecords()
    charges = Charges(Ledger(records), Prices(CONFIG.prices), Limiter(records))
    seen: dict[str, Any] = {
        "id": "batch_1", "tenant": "t", "key": "k", "model": TUNED, "base": CHAT, "ended": 1e9, "began": 9e8,
    }  # fmt: skip
    for used in (Used(10, 1), Used(11, 5), Used(10, 4)):
        charges.batch(**seen, used=used)
    charges.training(id="ftjob-1", tenant="t", key="k", base=CHAT, tokens=1000, ended=1e9, began=9e8)
    batch, tuned = accounts.entries(records, "t", "2001-09-09", "2001-09-09")
    assert (batch.prompt, batch.completion, batch.cost) == (11, 5, -(-(11 * 150 + 5 * 600) // 2))
    assert (tuned.prompt, tuned.cost, tuned.model) == (1000, 3_000_000, CHAT)
    spent = records.kept[COLLECTION, "k"].item["spent"]
    assert spent == batch.cost + tuned.cost, "the key's budget knows of both, once"


PROGRAM = """
import asyncio, pathlib, sys
from genai_stack.local.records import SqliteRecords
from genai_stack.service.ledger import Entry, Ledger

async def main():
    ledger = Ledger(SqliteRecords(pathlib.Path(sys.argv[1])))
    for n in range(100000):
        ledger.note(Entry(1.8e9, "t", "k", "m", "/", 200, "answered", n, 0, 0, 0, None, 0.1, "r"))
        print(n, flush=True)
        await asyncio.sleep(0.001)

asyncio.run(main())
"""


def test_what_a_kill_takes(tmp_path: Path) -> None:
    """The entries of the last second and a half at most, and never one from between those that are kept."""
    path = tmp_path / "records.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None
    began, last = None, -1
    for line in process.stdout:
        last = int(line)
        began = began or time.monotonic()
        if time.monotonic() > began + 1.8:
            break
    process.send_signal(signal.SIGKILL)
    for line in process.stdout:
        last = int(line)
    process.wait()
    process.stdout.close()
    kept = sorted(e.prompt for e in accounts.entries(SqliteRecords(path), "t", "2000-01-01", "2999-01-01"))
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) <= last + 1
