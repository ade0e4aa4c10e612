from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.aws.account import account
from tests.contracts.adapters import STAND_INS, child_path


@pytest.fixture(autouse=True)
def _child_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", child_path())


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account().environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def _stand_ins() -> Iterator[None]:
    yield
    while STAND_INS:
        STAND_INS.pop().close()
    os.environ.pop("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", None)
