"""What every test gets: no network but this machine, a home of its own, and one live stack for those that ask. The
files that take longest come first, so that no process is left with one when the others have ended."""

from __future__ import annotations

import gc
import ipaddress
import itertools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.live import Live, live_stack
from tests.order import LONGEST


def _refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: sockets may connect to loopback and unix addresses, names may resolve to them."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or host in ("localhost", ""):
        return
    try:
        if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass
    raise PermissionError(f"a test reached for {host}; tests stay on this machine")


sys.addaudithook(_refuse_the_network)
# Hypothesis judges examples by what they show, not by how busy the machine is.
# Without its explanations: below Python 3.12 they trace every line, which makes what is tested several times slower.
settings.register_profile(
    "any-machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
settings.load_profile("any-machine")
# A process of the suite loads torch, transformers, moto and the CDK: millions of objects that stay for good. Looking
# through them for garbage as often as Python does by itself is a sixth of all it does; see _set_aside, too.
gc.set_threshold(50_000, 20, 20)
MANY = 400
NUMBERS = itertools.count()
# Threads that spin while they wait make training ten times slower on a machine that does something else as well.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_configure(config: pytest.Config) -> None:
    # xdist gives files out by how many tests they hold; a file with one test may take longer than one with a hundred.
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    place = {here / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    _set_aside()


def pytest_runtest_logfinish() -> None:
    _set_aside()


def _set_aside() -> None:
    """Once many modules were loaded, what they made is garbage never more: accelerate collects at the start of each
    training, which took longer than all of a short one."""
    global loaded
    if len(sys.modules) > loaded + MANY:
        loaded = len(sys.modules)
        gc.collect()
        gc.freeze()


loaded = 0


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pytest's own, numbered by counting: pytest looks through all the folders there are for the next number, which
    takes longer than many a test."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    path = tmp_path_factory.getbasetemp() / f"{name}{next(NUMBERS)}"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of the test's own, not made yet; GENAI_STACK_* say nothing else."""
    path = tmp_path / "home"
    monkeypatch.setenv("GENAI_STACK_HOME", str(path))
    monkeypatch.delenv("GENAI_STACK_API_KEY", raising=False)
    monkeypatch.delenv("GENAI_STACK_BASE_URL", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return path


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """`genai-stack up` with every default, shared by the whole run. Whoever changes its state cleans up."""
    with live_stack(tmp_path_factory.mktemp("live") / "home") as stack:
        yield stack
