"""What a client stands on: an endpoint, the ports behind it, and how to let go of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import settings
from ..config import GateConfig, find_config, load_config
from ..errors import NotDeployedError
from ..ports import Services
from . import places
from .endpoint import Endpoint, named, running
from .places import Place, ThisMachine


@dataclass(frozen=True)
class Connection:
    """`services` makes the ports when a layer first needs them, `place` says where the jobs of these services run;
    `stop` ends what was started for this connection. Where only the layers below the API are deployed, `api` is the
    error that says so."""

    api: Endpoint | NotDeployedError
    services: Callable[[], Services]
    place: Callable[[Services], Place]
    stop: Callable[[], None]
    gates: tuple[GateConfig, ...] = ()
    """What stack.toml asks of a version before it is promoted."""

    @property
    def endpoint(self) -> Endpoint:
        """Raises NotDeployedError."""
        if isinstance(self.api, NotDeployedError):
            raise self.api
        return self.api


def local(home: str | Path | None = None, config: str | Path | None = None) -> Connection:
    """See GenAIStack.local."""
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

    return Connection(endpoint, services, lambda _: ThisMachine(path / "data"), stop, stack_config.gates)


def deployed(stage: str) -> Connection:
    """See GenAIStack.deployed."""
    from .. import wiring
    from ..aws import published

    api: Endpoint | NotDeployedError
    try:
        key = settings.api_key() or published.read(stage, "service", "api-key")
        url = settings.base_url() or published.read(stage, "service", "api-url")
        api = Endpoint(url.rstrip("/"), key)
    except NotDeployedError as error:
        published.read(stage, "training", "artefact-bucket")  # jobs are all that there has to be
        api = error
    return Connection(
        api,
        lambda: wiring.aws_services(stage),
        lambda services: places.of_stage(stage, services.objects),
        _nothing,
        load_config(find_config()).gates,
    )


def _nothing() -> None:
    pass
