"""Prices by the hour, from a request's seconds to the sums of an hour."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.config import ConfigError, ModelConfig, PriceConfig, StackConfig, parse_config
from genai_stack.ports import Job
from genai_stack.service import ApiKeys, accounts, build_app
from genai_stack.service import ledger as ledger_module
from genai_stack.service.charging import Charges, ran
from genai_stack.service.ledger import Ledger
from genai_stack.service.limits import Limiter
from genai_stack.service.prices import Prices, of_time
from genai_stack.service.usage import Used
from tests.service.conftest import GOOD, MASTER, Api
from tests.service.fakes import CHAT, EMBED, FakeHost, MemoryRecords, MemoryRegistry, services, serving, sse
from tests.service.test_ledger import ROUTE, entries, left, streamed, usage_of

HOURLY = PriceConfig(CHAT, hour=3.6, at_once=4, batch_percent=50, training_hour=7.2)
CONFIG = StackConfig(
    models=(ModelConfig(CHAT, "builtin"), ModelConfig(EMBED, "minilm", "embedding")),
    prices=(HOURLY, PriceConfig(EMBED, 0.02)),
)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(ledger_module, "FLUSH_SECONDS", 0.01)
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    with serving(build_app(services(host, registry, records), keys=keys, config=CONFIG, keep_alive=5)) as port:
        yield Api(port, host, registry, records, keys)


def test_a_request_pays_for_the_seconds_of_its_model(api: Api) -> None:
    id, key = api.keys.create("k")
    api.host.delay = 0.05
    api.host.body = json.dumps({"usage": usage_of(1000, 1000)}).encode()
    assert api.call("POST", ROUTE, GOOD[ROUTE], key=key).status == 200
    api.host.delay, api.host.script = 0, [*sse(*streamed(5, 2), done=False), 0.1, *sse()]
    assert api.call("POST", ROUTE, {**GOOD[ROUTE], "stream": True}, key=key).status == 200
    api.host.reset()
    assert api.call("POST", ROUTE, {**GOOD[ROUTE], "model": "none"}, key=key).status == 404
    api.host.delay, api.host.status, api.host.body = 0.02, 500, b"{}"
    for streamed_ in (False, True):
        assert api.call("POST", ROUTE, {**GOOD[ROUTE], "stream": streamed_}, key=key).status == 500
    api.host.reset()
    assert api.call("POST", "/v1/embeddings", GOOD["/v1/embeddings"], key=key).status == 200
    api.host.delay = 0.05
    left(api, key, ROUTE, GOOD[ROUTE])
    found = entries(api, id, 7)
    whole, stream, refused, failed, broken, embedded, gone = found
    assert failed.cost == broken.cost == 0
    assert 0.05 <= whole.served <= whole.seconds
    assert 0.1 <= stream.served <= stream.seconds
    assert refused.served == refused.cost == 0
    assert embedded.cost == 2 * 20, "by its tokens"
    assert gone.outcome == "left"
    for entry in (whole, stream, gone):
        assert entry.cost == -(-round(entry.served * 1e6) * 3_600_000_000 // (3_600_000_000 * 4))
    report = api.get("/v1/usage?by=key", key=key).json()
    assert report["total"]["nano_usd"] == sum(entry.cost for entry in found)


def test_a_task_pays_for_the_seconds_of_its_chats(api: Api) -> None:
    id, key = api.keys.create("k")
    api.host.delay = 0.05
    told = api.call("POST", "/v1/tasks/summarize", {"model": CHAT, "text": "A cat purrs."}, key=key)
    assert told.status == 200, told
    (entry,) = entries(api, id, 1)
    assert 0.05 <= entry.served <= entry.seconds
    assert entry.cost > 0


@given(
    st.lists(st.integers(0, 900_000_000), min_size=1, max_size=20), st.integers(0, 10**13), st.integers(1, 64)
)
def test_a_full_copy_pays_for_itself(micros: list[int], hour: int, at_once: int) -> None:
    """Requests that fill `at_once` places one after the other pay the copy's hours, and less than a nanodollar each
    beyond."""
    paid = sum(of_time(hour, each / 1e6, at_once) for each in micros * at_once)
    owed = sum(micros) * hour / 3_600_000_000
    assert owed <= paid * (1 + 1e-12)
    assert paid <= owed * (1 + 1e-12) + len(micros) * at_once


def test_batches_and_fine_tunes_have_a_machine_to_themselves() -> None:
    records = MemoryRecords()
    charges = Charges(Ledger(records), Prices(CONFIG.prices), Limiter(records))
    seen: dict[str, Any] = {"tenant": "t", "key": "k", "ended": 1e9, "began": 9e8}
    for _ in range(2):
        charges.batch(**seen, id="batch_1", model=CHAT, base=None, used=Used(10, 1), ran=100.0)
        charges.training(**seen, id="ftjob-1", base=CHAT, tokens=1000, ran=100.0)
        charges.training(**seen, id="ftjob-2", base=CHAT, tokens=0, ran=50.0, done=False)
        charges.training(**seen, id="ftjob-3", base=CHAT, tokens=0, ran=0.0, done=False)
    batch, tuned, broken = accounts.entries(records, "t", "2001-09-09", "2001-09-09")
    assert (batch.served, batch.cost) == (100.0, 50_000_000)
    assert (tuned.served, tuned.cost) == (100.0, 200_000_000)
    assert (broken.served, broken.cost, broken.outcome) == (50.0, 100_000_000, "failed")
    job = Job("j", "batch", "succeeded", 1.0, {}, "", started=5.0, finished=7.5)
    assert ran(job) == 2.5
    assert ran(Job("j", "batch", "cancelled", 1.0, {}, "", finished=7.5)) == 0.0


def test_a_minute_is_set_aside_of_a_budget() -> None:
    from genai_stack.errors import OutOfBudget
    from genai_stack.protocol import ChatRequest, decode
    from genai_stack.service.principal import Limits, Principal

    request = decode(ChatRequest, json.dumps(GOOD[ROUTE]).encode())
    price = Prices(CONFIG.prices).of(CHAT)

    async def admitted(budget: float) -> None:
        class Told:
            told: Any = []
            admission: Any = None

        who = Principal("k", "k", "k", limits=Limits(budget=budget))
        limiter = Limiter(MemoryRecords())
        await limiter.admit(Told, who, request, 100, price)  # type: ignore[arg-type]
        Told.admission.settle(0, 0)
        await limiter.close()

    asyncio.run(admitted(0.0151))
    with pytest.raises(OutOfBudget):
        asyncio.run(admitted(0.0149))


@pytest.mark.parametrize(("text", "line", "message"), [
    ("[[price]]\nmodel='a'\nhour=1.0\ninput=0.5\n", 3, "price[0].hour: a price is by the token or by the hour"),
    ("[[price]]\nmodel='a'\nhour=1.00001\n", 3, "finer than a thousandth"),
    ("[[price]]\nmodel='a'\nhour=1.0\nat_once=0\n", 4, "price[0].at_once"),
    ("[[price]]\nmodel='a'\n[[price]]\nmodel='a'\n", 4, "two prices"),
    ("[[tenant]]\nname='a'\n[[tenant]]\nname='a'\n", 4, "two entries"),
    ("[[tenant]]\nname='a/b'\n", 2, "tenant[0].name"),
    ("[[tenant]]\nname='a'\nconcurrent=0\n", 3, "tenant[0].concurrent"),
])  # fmt: skip
def test_what_a_configuration_cannot_say(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert caught.value.line == line
    assert message in caught.value.message
