from __future__ import annotations

import pytest

from tests.aws.account import account
from tests.contracts.adapters import child_path


@pytest.fixture(autouse=True)
def _child_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", child_path())


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)
