"""What a client stands on: an endpoint, the ports behind it, and how to let go of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import settings
from ..errors import GenAIStackError
from ..ports import Services
from .endpoint import Endpoint, named, running


@dataclass(frozen=True)
class Connection:
    """`services` makes the ports when a layer first needs them; `stop` ends what was started for this connection."""

    endpoint: Endpoint
    services: Callable[[], Services]
    data: Path | None
    """Where training data is kept for jobs to read; None where jobs can't read a directory of ours."""
    stop: Callable[[], None]


def local(home: str | Path | None = None, config: str | Path | None = None) -> Connection:
    """See GenAIStack.local."""
    from ..config import find_config, load_config

    path = settings.home() if home is None else Path(home).expanduser().absolute()
    file = Path(config) if config else find_config()
    stack_config = load_config(file)
    stop: Callable[[], None] = _nothing
    endpoint = (named(path) if home is None else None) or running(path)
    if endpoint is None:
        from .child import ChildStack, start

        started = start(path, file)
        if isinstance(started, ChildStack):
            endpoint, stop = started.endpoint, started.stop
        else:
            endpoint = started

    def services() -> Services:
        from .. import wiring

        return wiring.local_services(path, stack_config)

    return Connection(endpoint, services, path / "data", stop)


def deployed(stage: str) -> Connection:
    """See GenAIStack.deployed."""
    from ..aws import published

    key = settings.api_key() or published.read(stage, "service", "api-key")
    url = settings.base_url() or published.read(stage, "service", "api-url")

    def services() -> Services:
        raise GenAIStackError(
            f"the stage {stage!r} is reached through its API only; use .service, or a local stack for this"
        )

    return Connection(Endpoint(url.rstrip("/"), key), services, None, _nothing)


def _nothing() -> None:
    pass
