"""A key is looked up in a thread, shared by all who wait for it, and renewed beside the requests."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import CredentialRetrievalError

from genai_stack.aws import credentials as module
from genai_stack.aws.credentials import FRESH_SECONDS, STALE_SECONDS, Credentials
from genai_stack.errors import GenAIStackError


class Chain:
    """botocore's, as slow as `held` makes it."""

    def __init__(self) -> None:
        self.looks = 0
        self.held = threading.Event()
        self.held.set()
        self.failure: Exception | None = None

    def __call__(self) -> Any:
        return self

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        self.looks += 1
        self.held.wait(10)
        if self.failure is not None:
            raise self.failure
        return ReadOnlyCredentials(f"K{self.looks}", "s", None)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    return clock


async def test_one_look_serves_all_and_a_while(now: list[float]) -> None:
    chain = Chain()
    found = Credentials(chain)
    keys = await asyncio.gather(*(found.key() for _ in range(20)))
    now[0] += FRESH_SECONDS - 1
    assert {key.id for key in [*keys, await found.key()]} == {"K1"}
    assert chain.looks == 1


async def test_a_slow_renewal_holds_nobody_up_that_has_a_key(now: list[float]) -> None:
    chain = Chain()
    found = Credentials(chain)
    await found.key()
    chain.held.clear()
    now[0] += FRESH_SECONDS
    for _ in range(3):
        assert (await asyncio.wait_for(found.key(), 5)).id == "K1"
    now[0] += STALE_SECONDS
    waiting = asyncio.create_task(found.key())
    await asyncio.sleep(0)
    assert not waiting.done()
    chain.held.set()
    assert (await waiting).id == "K2"
    assert chain.looks == 2


async def test_a_renewal_that_fails_is_told_once_there_is_no_key_to_go_on_with(now: list[float]) -> None:
    chain = Chain()
    found = Credentials(chain)
    await found.key()
    chain.failure = CredentialRetrievalError(provider="sso", error_msg="the token has expired")
    now[0] += FRESH_SECONDS
    assert (await found.key()).id == "K1"
    now[0] += STALE_SECONDS
    with pytest.raises(GenAIStackError, match="the token has expired; check the AWS region, the credentials"):
        await found.key()
    chain.failure = None
    assert (await found.key()).id.startswith("K")


async def test_whoever_gives_up_waiting_leaves_the_look_to_the_others(now: list[float]) -> None:
    chain = Chain()
    chain.held.clear()
    found = Credentials(chain)
    one, other = asyncio.create_task(found.key()), asyncio.create_task(found.key())
    await asyncio.sleep(0)
    one.cancel()
    await asyncio.sleep(0)
    chain.held.set()
    assert (await other).id == "K1"
