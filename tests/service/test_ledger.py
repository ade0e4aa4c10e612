"""The ledger: what every request used, however it ended; sums that are those of the requests; nothing lost that a store
took late."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genai_stack.config import ModelConfig, PriceConfig, StackConfig
from genai_stack.errors import EngineFailed, ModelWarming, NotDeployedError, Overloaded
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import RecordStore
from genai_stack.protocol import ChatRequest, decode
from genai_stack.service import ApiKeys, accounts, build_app
from genai_stack.service import ledger as ledger_module
from genai_stack.service.accounts import COLUMNS, UsageRow
from genai_stack.service.charging import Charges
from genai_stack.service.ledger import Entry, Ledger
from genai_stack.service.limits import Limiter
from genai_stack.service.prices import Prices
from genai_stack.service.tab import COLLECTION
from genai_stack.service.usage import StreamedUsage, Used
from tests.aws.account import account
from tests.contracts.adapters import RECORDS
from tests.service.conftest import GOOD, MASTER, Api, assert_problem
from tests.service.fakes import (
    CHAT,
    EMBED,
    HANG,
    TUNED,
    FakeHost,
    MemoryRecords,
    MemoryRegistry,
    services,
    serving,
    sse,
)  # fmt: skip

ROUTE = "/v1/chat/completions"
CONFIG = StackConfig(
    models=(ModelConfig(CHAT, "builtin"), ModelConfig(EMBED, "minilm", "embedding")),
    prices=(PriceConfig(CHAT, 0.15, 0.075, 0.6, 3.0, 50), PriceConfig(EMBED, 0.02)),
)
PROMPT = "a prompt nobody else may read: 5f1c"


@pytest.fixture(scope="module")
def priced() -> Iterator[Api]:
    """An API with prices whose ledger is written at once."""
    before, ledger_module.FLUSH_SECONDS = ledger_module.FLUSH_SECONDS, 0.01
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    with serving(build_app(services(host, registry, records), keys=keys, config=CONFIG, keep_alive=5)) as port:
        yield Api(port, host, registry, records, keys)
    ledger_module.FLUSH_SECONDS = before


def entries(api: Api, tenant: str, count: int) -> list[Entry]:
    until = time.monotonic() + 5
    while True:
        found = list(accounts.entries(api.records, tenant, "2000-01-01", "2999-01-01"))
        if len(found) >= count:
            assert len(found) == count
            return found
        assert time.monotonic() < until, f"{len(found)} entries of {count}"
        time.sleep(0.005)


def usage_of(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    details = {"prompt_tokens_details": {"cached_tokens": cached}} if cached else {}
    return {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **details,
    }  # fmt: skip


def streamed(prompt: int, completion: int, *, several: int = 1) -> list[dict[str, Any]]:
    """Events as vLLM has them with continuous usage: each of its own choice's tokens so far."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": CHAT}
    told = [
        {
            **head,
            "choices": [{"index": index, "delta": {"content": f"w{n}"}, "finish_reason": None}],
            "usage": usage_of(prompt, n),
        }
        for n in range(completion + 1)
        for index in range(several)
    ]
    return [*told, {**head, "choices": [], "usage": usage_of(prompt, completion * several)}]


ASKED = st.tuples(
    st.sampled_from(
        ["whole", "stream", "stream with usage", "broken", "overloaded", "invalid", "unknown", "tuned"]
    ),
    st.integers(0, 5000),
    st.integers(0, 40),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ASKED, min_size=1, max_size=6))
@example([("whole", 7, 2), ("stream", 9, 3), ("broken", 5, 4), ("overloaded", 1, 1), ("invalid", 0, 0)])
def test_sums_are_those_of_the_requests(priced: Api, asked: list[tuple[str, int, int]]) -> None:
    id, key = priced.keys.create("counted")
    want: dict[str, list[int]] = {}
    for kind, prompt, completion in asked:
        priced.host.reset()
        cached = prompt // 3
        body = {**GOOD[ROUTE], "model": TUNED if kind == "tuned" else CHAT}
        cost = (prompt - cached) * 150 + cached * 75 + completion * 600
        model, failed = body["model"], 0
        if kind in ("whole", "tuned"):
            priced.host.body = json.dumps(
                {"choices": [], "usage": usage_of(prompt, completion, cached)}
            ).encode()
        elif kind == "overloaded":
            priced.host.failure, failed = Overloaded("full"), 1
        elif kind in ("invalid", "unknown"):
            body, model, failed = {**body, "model": "nobody" if kind == "unknown" else 5}, "", 1
        else:
            events = streamed(prompt, completion)
            cached, cost = 0, prompt * 150 + completion * 600
            priced.host.script = sse(*events)
            if kind == "broken":
                priced.host.script, failed = [*sse(*events[:-1], done=False), EngineFailed("died")], 1
            options = {"stream_options": {"include_usage": True}} if kind == "stream with usage" else {}
            body = {**body, "stream": True, **options}
        if kind in ("overloaded", "invalid", "unknown"):
            prompt = completion = cached = cost = 0
        priced.call("POST", ROUTE, body, key=key)
        row = want.setdefault(model, [0] * 6)
        for place, value in enumerate((1, failed, prompt, cached, completion, cost)):
            row[place] += value
    entries(priced, id, len(asked))
    report = priced.get("/v1/usage?by=model,key", key=key).json()
    assert {row.get("model", ""): figures(row) for row in report["data"]} == want
    assert all(row["key"] == id for row in report["data"])
    assert figures(report["total"]) == [sum(column) for column in zip(*want.values(), strict=True)]


def figures(row: dict[str, Any]) -> list[int]:
    names = ("requests", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "nano_usd")
    return [row.get(name, 0) for name in names]


@pytest.mark.parametrize("several", [1, 3])
def test_a_client_that_leaves_pays_for_what_was_made(priced: Api, several: int) -> None:
    id, key = priced.keys.create("leaver")
    priced.host.reset()
    priced.host.script = [*sse(*streamed(50, 4, several=several)[:-1], done=False), HANG]
    body = json.dumps({**GOOD[ROUTE], "stream": True, "n": several}).encode()
    head = f"POST {ROUTE} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", priced.port), 5) as raw:
        raw.sendall(head.encode() + body)
        got = b""
        while got.count(b"w4") < several:
            got += raw.recv(65536)
    assert priced.host.left.wait(2)
    (entry,) = entries(priced, id, 1)
    assert (entry.outcome, entry.status, entry.prompt, entry.completion) == ("left", 499, 50, 4 * several)
    assert entry.cost == 50 * 150 + 4 * several * 600
    assert entry.first is not None
    assert b"usage" not in got


@pytest.mark.parametrize("prompt", ["text", "tokens", "conversation"])
def test_a_client_that_leaves_before_its_answer_pays_for_its_prompt(priced: Api, prompt: str) -> None:
    id, key = priced.keys.create("leaver")
    priced.host.reset()
    priced.host.delay = 30
    route = ROUTE if prompt == "conversation" else "/v1/completions"
    body = GOOD[route] if prompt != "tokens" else {"model": CHAT, "prompt": [[1, 2, 3], [4, 5]]}
    left(priced, key, route, body)
    (entry,) = entries(priced, id, 1)
    want = 5 if prompt == "tokens" else 2
    assert (entry.outcome, entry.status, entry.prompt, entry.completion) == ("left", 499, want, 0)
    assert entry.cost == want * 150
    counted = [json.loads(sent) for _, to, sent in priced.host.seen if to == "/v1/tokenize"]
    if prompt == "conversation":
        assert counted[0]["messages"][0]["content"] == "Hi"
    assert len(counted) == (prompt != "tokens")


def test_a_client_that_leaves_before_a_model_is_up_pays_nothing(priced: Api) -> None:
    id, key = priced.keys.create("leaver")
    priced.host.reset()
    priced.host.delay, priced.host.failure = 30, ModelWarming("coming")
    left(priced, key, ROUTE, GOOD[ROUTE])
    (entry,) = entries(priced, id, 1)
    assert (entry.outcome, entry.prompt, entry.cost) == ("left", 0, 0)


def left(api: Api, key: str, route: str, asked: dict[str, Any]) -> None:
    body = json.dumps(asked).encode()
    head = f"POST {route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), 5) as raw:
        raw.sendall(head.encode() + body)
        until = time.monotonic() + 5
        while not api.host.seen:
            assert time.monotonic() < until
            time.sleep(0.005)
    assert api.host.left.wait(2)


def test_who_sees_whose(priced: Api) -> None:
    priced.host.reset()
    _, mine = priced.keys.create("mine", tenant="acme")
    _, too = priced.keys.create("too", tenant="acme")
    _, theirs = priced.keys.create("theirs")
    _, admin = priced.keys.create("admin", scopes=("admin",))
    for key in (mine, too, theirs):
        assert priced.call("POST", ROUTE, GOOD[ROUTE], key=key).status == 200
    entries(priced, "acme", 2)
    assert priced.get("/v1/usage?by=tenant", key=mine).json()["total"]["requests"] == 2
    assert len(priced.get("/v1/usage", key=too).json()["data"]) == 2
    assert {row["tenant"] for row in priced.get("/v1/usage?by=tenant", key=mine).json()["data"]} == {"acme"}
    assert_problem(priced.get("/v1/usage?tenant=acme", key=theirs), 403)
    assert "acme" in {row["tenant"] for row in priced.get("/v1/usage?by=tenant", key=admin).json()["data"]}
    assert priced.get("/v1/usage?tenant=acme", key=admin).json()["total"]["requests"] == 2
    assert_problem(priced.call("POST", ROUTE, GOOD[ROUTE], key=admin), 403)


@pytest.mark.parametrize("query", [
    "from=2026-02-30", "to=x", "from=2026-03-02&to=2026-03-01", "from=2020-01-01", "by=", "by=day,week", "by=,", "x=1",
])  # fmt: skip
def test_questions_that_are_none(priced: Api, query: str) -> None:
    assert_problem(priced.get(f"/v1/usage?{query}"), 400)


def test_no_record_and_no_log_line_holds_a_key_or_a_prompt(
    priced: Api, caplog: pytest.LogCaptureFixture
) -> None:
    priced.host.reset()
    id, key = priced.keys.create("canary")
    messages = [{"role": "user", "content": PROMPT}]
    priced.host.body = json.dumps(
        {"choices": [{"message": {"content": PROMPT}}], "usage": usage_of(1, 1)}
    ).encode()
    with caplog.at_level(logging.DEBUG):
        for change in ({}, {"stream": True}, {"model": PROMPT}, {PROMPT: 1}, {"stream_options": PROMPT}):
            priced.call("POST", ROUTE, {**GOOD[ROUTE], "messages": messages, **change}, key=key)
        priced.host.failure = RuntimeError(PROMPT + key)
        priced.call("POST", ROUTE, {**GOOD[ROUTE], "messages": messages}, key=key)
        priced.call("POST", f"{ROUTE}?key={key}", {**GOOD[ROUTE], "messages": messages}, key=key)
        entries(priced, id, 7)
    kept = json.dumps([[*name, record.item] for name, record in priced.records.kept.items()])
    told = "\n".join(
        r.getMessage() for r in caplog.records if r.name != "uvicorn.access"
    )  # off where it serves
    for text in (told, kept):
        assert PROMPT not in text
        assert key not in text
        assert MASTER not in text
    assert id in told
    assert id in kept


# The stores.


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


EVENTS = st.tuples(st.integers(0, 300), st.integers(0, 6), st.integers(1, 3), st.booleans(), st.booleans())


@given(EVENTS, st.integers(1, 400))
def test_a_stream_shows_what_was_asked_for(shape: tuple[int, int, int, bool, bool], size: int) -> None:
    prompt, completion, several, asked, tricky = shape
    events = streamed(prompt, completion, several=several)
    if tricky:
        events[0]["choices"][0]["delta"]["content"] = ',"usage":{"prompt_tokens":1},"choices":[]\n\ndata: '
    options = {"stream_options": {"include_usage": True}} if asked else {}
    body = json.dumps({**GOOD[ROUTE], "stream": True, "n": several, **options}).encode()
    usage = StreamedUsage(decode(ChatRequest, body), body)
    sent = decode(ChatRequest, usage.body)
    assert sent.counts_on
    assert sent.messages == decode(ChatRequest, body).messages
    framed = sse(*events, done=False)
    chunks = [b"".join(framed[at : at + size]) for at in range(0, len(framed), size)]
    shown = b"".join(usage.passed(chunk) for chunk in chunks)
    bare = [{name: value for name, value in event.items() if name != "usage"} for event in events[:-1]]
    want = [*({**event, "usage": None} for event in bare), events[-1]] if asked else bare
    assert [json.loads(part[6:]) for part in shown.split(b"\n\n") if part] == want
    assert usage.used() == Used(prompt, completion * several, 0)


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
