"""Clients for AWS services, all made here: explicit retries, explicit timeouts, credentials as boto3 finds them."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from genai_stack import __version__
from genai_stack.errors import GenAIStackError

from .faults import unreachable

ATTEMPTS = 5
"""Of one call in all, with botocore's standard back-off between them: 0 to 1, 2, 4, 8 seconds, at random."""
CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0
CONNECTIONS = 32
"""Kept open per client; the adapters' own threads are fewer."""

_MAKING = threading.Lock()
"""Clients are safe to share among threads, a session isn't."""


def client(service: str, *, region: str | None = None, attempts: int = ATTEMPTS) -> Any:
    """A client for `service`, safe to share among threads. Raises GenAIStackError where boto3 isn't installed or no
    region is set."""
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
    """botocore's credentials for the process, or None. They renew themselves when they are read, and block then."""
    with _MAKING:
        return shared().get_credentials()


@cache
def shared() -> Any:
    """One for the process: what a session has read of botocore's models and the credentials serves every client."""
    import boto3

    return boto3.session.Session()
