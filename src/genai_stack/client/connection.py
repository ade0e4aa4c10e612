"""What a client stands on: an endpoint, the ports behind it, and how to let go of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .. import settings
from ..config import GateConfig, find_config, load_config
from ..errors import GenAIStackError, NotDeployedError, Unauthorized
from ..ports import Services
from . import places
from .endpoint import Endpoint, named, running
from .places import Place, ThisMachine


@dataclass(frozen=True)
class Connection:
    """`services` makes the ports when a layer first needs them, `place` says where the jobs of these services run;
    `stop` ends what was started for this connection. Where only the layers below the API are deployed, or no key is
    known, `api` is the error that says so."""

    api: Endpoint | GenAIStackError
    services: Callable[[], Services]
    place: Callable[[Services], Place]
    stop: Callable[[], None]
    gates: tuple[GateConfig, ...] = ()
    """What stack.toml asks of a version before it is promoted."""

    @property
    def endpoint(self) -> Endpoint:
        """Raises NotDeployedError, and Unauthorized where no key is known."""
        if isinstance(self.api, GenAIStackError):
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

    api: Endpoint | GenAIStackError
    try:
        url = settings.base_url() or published.read(stage, "service", "api-url")
        key = settings.api_key()
        api = Endpoint(url.rstrip("/"), key) if key else _no_key(stage)
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


def _no_key(stage: str) -> Unauthorized:
    """A stage keeps hashes of keys only, so that nobody can read one there."""
    return Unauthorized(
        f"there is no key for the API of stage {stage!r}; set GENAI_STACK_API_KEY to one, which "
        f"'genai-stack keys create NAME --stage {stage}' makes and shows once"
    )


def _nothing() -> None:
    pass
