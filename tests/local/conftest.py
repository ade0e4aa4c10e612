from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.adapters import child_path


@pytest.fixture(autouse=True)
def _child_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{child_path()}:{Path(__file__).parent}")
