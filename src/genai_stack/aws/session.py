"""Clients for AWS services, all made here: explicit retries, explicit timeouts, credentials as boto3 finds them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from genai_stack import __version__, settings
from genai_stack.errors import GenAIStackError

from .environment import environment
from .faults import unreachable
from .json_client import TARGETS, JsonClient

ATTEMPTS = 5
"""Of one call in all, with botocore's standard back-off between them: 0 to 1, 2, 4, 8 seconds, at random."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
CONNECTIONS = 32
"""Kept open per client; the adapters' own threads are fewer."""

_MAKING = threading.Lock()
"""Clients are safe to share among threads, a session isn't."""


def client(service: str, *, region: str | None = None, attempts: int = ATTEMPTS) -> Any:
    """A client for `service`, safe to share among threads, and made when it is first used: then it raises
    GenAIStackError where boto3 isn't installed or no region is set. What the JSON client speaks gets that, where the
    environment says all there is to know."""
    return Client(lambda: _made(service, region, attempts))


class Client:
    """Whatever `make` makes, from its first use on."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._it: Any = None
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if self._it is None:
            with self._lock:
                self._it = self._it or self._make()
        return getattr(self._it, name)

    def close(self) -> None:
        """Closes idle connections, where there are any."""
        if self._it is not None:
            self._it.close()


def _made(service: str, region: str | None, attempts: int) -> Any:
    if service in TARGETS and region is None and (here := environment()) is not None:
        return JsonClient(service, here, attempts)
    try:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        session = shared()
    except ImportError as error:
        raise GenAIStackError(
            "reaching an AWS account needs boto3; run: pip install 'genai-stack[aws]'"
        ) from error
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
        user_agent_extra=f"genai-stack/{__version__}",
    )
    try:
        with _MAKING:
            return session.client(service, region_name=region, config=config)
    except BotoCoreError as error:
        raise unreachable(f"can't reach {service}", error) from error


def credentials() -> Any:
    """The environment's own key, else botocore's credentials for the process, or None. Those renew themselves when they
    are read, and block then."""
    if (here := environment()) is not None:
        return here
    with _MAKING:
        return shared().get_credentials()


def shared() -> Any:
    """One for the process: what a session has read of botocore's models and the credentials serves every client, and
    SageMaker's SDK, which takes the region from it."""
    return _session(settings.aws_region())


@cache
def _session(region: str | None) -> Any:
    import boto3

    return boto3.session.Session(region_name=region)
