"""An API whose minute lasts, for tests of limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from genai_stack.config import StackConfig
from genai_stack.service import ApiKeys, build_app
from genai_stack.service import ledger as ledger_module
from genai_stack.service import limits as limits_module
from tests.service.conftest import MASTER, Api
from tests.service.fakes import FakeHost, MemoryRecords, MemoryRegistry, services, serving

NOON = 1_800_000_000.0 + 1


@contextmanager
def limited(config: StackConfig) -> Iterator[Api]:
    """Everything that waits waits a hundredth of a second, and the minute lasts."""
    patch = pytest.MonkeyPatch()
    patch.setattr(ledger_module, "FLUSH_SECONDS", 0.01)
    patch.setattr(limits_module, "SETTLE_SECONDS", 0.01)
    began = time.monotonic()
    patch.setattr(time, "time", lambda: NOON + min(time.monotonic() - began, 50))
    host, registry, records = FakeHost(), MemoryRegistry(), MemoryRecords()
    keys = ApiKeys(records, MASTER)
    with serving(build_app(services(host, registry, records), keys=keys, config=config, keep_alive=5)) as port:
        yield Api(port, host, registry, records, keys)
    patch.undo()
