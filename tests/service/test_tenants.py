"""Limits of tenants, beside those of their keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from genai_stack.config import ModelConfig, PriceConfig, StackConfig
from genai_stack.errors import OutOfBudget
from genai_stack.metering import TenantConfig
from genai_stack.service.charging import Charges
from genai_stack.service.ledger import Ledger
from genai_stack.service.limits import Limiter
from genai_stack.service.prices import Prices
from genai_stack.service.principal import Limits, Principal
from genai_stack.service.tab import COLLECTION, KEPT_SECONDS
from genai_stack.service.usage import Used
from tests.service.conftest import MASTER, Api, assert_problem
from tests.service.fakes import CHAT, HANG, MemoryRecords, sse
from tests.service.limited import limited
from tests.service.test_ledger import streamed
from tests.service.test_limits import ask, stream, tab_of

PRICES = (PriceConfig(CHAT, 1.0, None, 10.0),)
CONFIG = StackConfig(
    models=(ModelConfig(CHAT, "builtin"),),
    prices=PRICES,
    tenants=(
        TenantConfig("requests", requests_per_minute=5),
        TenantConfig("tokens", tokens_per_minute=500),
        TenantConfig("at-once", concurrent=2),
        TenantConfig("poor", budget=0.0005),
        TenantConfig("free"),
        TenantConfig("*", requests_per_minute=3),
    ),
)


@pytest.fixture(scope="module")
def running() -> Iterator[Api]:
    with limited(CONFIG) as api:
        yield api


@pytest.fixture
def api(running: Api) -> Api:
    running.host.reset()
    return running


def keys(api: Api, tenant: str, *limits: Limits) -> list[tuple[str, str]]:
    return [api.keys.create("k", tenant=tenant, limits=each) for each in limits]


def left(answer: Any, what: str = "requests") -> tuple[int, int]:
    told = answer.headers
    return int(told[f"x-ratelimit-limit-{what}"]), int(told[f"x-ratelimit-remaining-{what}"])


def test_all_keys_of_a_tenant_share_its_requests(api: Api) -> None:
    (id, tight), (_, loose) = keys(api, "requests", Limits(requests_per_minute=3), Limits())
    assert left(ask(api, tight)) == (3, 2), "the key's is tighter"
    assert left(ask(api, loose)) == (5, 3)
    assert left(ask(api, loose)) == (5, 2)
    assert left(ask(api, loose)) == (5, 1)
    assert left(ask(api, tight)) == (5, 0), "now the tenant's"
    for key in (tight, loose):
        told = ask(api, key)
        assert "The tenant's limit is 5 requests a minute" in assert_problem(told, 429)["message"]
        assert told.json()["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(told.headers["retry-after"]) <= 60
        assert left(told)[1] == 0
    assert len(api.host.seen) == 5
    tab_of(api, id, lambda tab: tab.requests == 2)


def test_the_message_says_when_it_is_the_key(api: Api) -> None:
    ((_, key),) = keys(api, "free", Limits(requests_per_minute=1))
    assert ask(api, key).status == 200
    assert "The key's limit is 1 requests a minute" in assert_problem(ask(api, key), 429)["message"]


def test_what_the_tenant_refuses_costs_the_key_nothing(api: Api) -> None:
    (id, key), (_, other) = keys(api, "tokens", Limits(10, 2000, 5, 1.0), Limits())
    assert ask(api, other, max_tokens=400).status == 200
    tab_of(api, "tenant/tokens", lambda tab: tab.tokens == 9)
    for _ in range(20):
        told = ask(api, key, max_tokens=600)
        assert assert_problem(told, 429)["code"] == "request_exceeds_limit"
        assert told.headers["x-should-retry"] == "false"
    tab_of(api, id, lambda tab: tab.requests == tab.tokens == tab.spent == 0 and not tab.open)
    answer = ask(api, key, max_tokens=100)
    assert answer.status == 200
    assert left(answer, "tokens")[0] == 500


def test_requests_of_a_tenant_at_the_same_time(api: Api) -> None:
    (_, first), (_, second) = keys(api, "at-once", Limits(), Limits())
    api.host.script = [*sse(*streamed(5, 1)[:-1], done=False), HANG]
    open_ = [stream(api, first), stream(api, second)]
    for key in (first, second):
        told = ask(api, key)
        assert assert_problem(told, 429)["code"] == "concurrency_limit_exceeded"
        assert told.json()["error"]["message"].startswith("The tenant's limit is 2 requests at the same time")
    for raw in open_:
        raw.close()
    tab_of(api, "tenant/at-once", lambda tab: not tab.open)
    assert ask(api, first).status == 200


def test_a_budget_of_all_keys_together(api: Api) -> None:
    (id, rich), (_, other) = keys(api, "poor", Limits(budget=1.0), Limits())
    asked = 0
    while (answer := ask(api, (rich, other)[asked % 2], max_tokens=10)).status == 200:
        asked += 1
        tab_of(api, "tenant/poor", lambda tab, n=asked: tab.spent == 27_000 * n)
        assert asked < 30
    assert assert_problem(answer, 429)["type"] == "insufficient_quota"
    assert "The tenant's budget of $0.0005" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"
    tab_of(api, id, lambda tab: tab.spent == 27_000 * (asked - asked // 2))


def test_each_other_tenant_has_its_own(api: Api) -> None:
    (_, one), (_, two) = keys(api, "one", Limits(), Limits())
    ((_, else_),) = keys(api, "else", Limits())
    _, none = api.keys.create("without a tenant")
    assert [ask(api, key).status for key in (one, two, one, two)] == [200, 200, 200, 429]
    for key in (else_, none):
        assert [ask(api, key).status for _ in range(4)] == [200, 200, 200, 429]
    assert {ask(api, MASTER).status for _ in range(6)} == {200}, "the stack's own key"
    ((_, free),) = keys(api, "free", Limits())
    answers = [ask(api, free) for _ in range(6)]
    assert {answer.status for answer in answers} == {200}
    assert not any(name.startswith("x-ratelimit") for name in answers[0].headers)


def test_a_batch_counts_for_key_and_tenant() -> None:
    records = MemoryRecords()
    limiter = Limiter(records, CONFIG.tenants)
    charges = Charges(Ledger(records), Prices(PRICES), limiter)
    who = Principal("k", "k", "poor")
    asyncio.run(limiter.check(who))
    charges.batch(
        id="batch_1", tenant="poor", key="k", model=CHAT, base=None, used=Used(500_001), ended=1e9, began=9e8
    )
    for holder in ("k", "tenant/poor"):
        assert records.kept[COLLECTION, holder].item["spent"] == 500_001_000
        assert records.expiring[COLLECTION, holder] == pytest.approx(time.time() + KEPT_SECONDS, abs=60)
    with pytest.raises(OutOfBudget, match="tenant"):
        asyncio.run(limiter.check(who))
    charges.batch(
        id="batch_2", tenant="free", key="l", model=CHAT, base=None, used=Used(9), ended=1e9, began=9e8
    )
    assert (COLLECTION, "tenant/free") not in records.kept
