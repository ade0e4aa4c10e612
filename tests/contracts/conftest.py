from __future__ import annotations

import pytest

from tests.contracts.adapters import child_path


@pytest.fixture(autouse=True)
def _child_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", child_path())
