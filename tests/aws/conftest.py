from __future__ import annotations

import pytest

from tests.aws.account import Account, account


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Account:
    """The account on this machine; this process's credentials lead there."""
    made = account()
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    made.seen.clear()
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's back-off without the waiting."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
