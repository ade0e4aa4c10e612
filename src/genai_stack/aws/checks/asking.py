"""How the checks ask: a call that isn't allowed is a warning with the right it takes, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from genai_stack.config import StackConfig
from genai_stack.errors import GenAIStackError
from genai_stack.findings import Finding

from ..faults import DENIED, WHO, code_of


class Place(NamedTuple):
    """Where a stage is, or is to be. `make` gives a client for a service."""

    stage: str
    account: str
    region: str
    partition: str
    config: StackConfig
    make: Callable[..., Any]


class Check(NamedTuple):
    """`prefix` is the service's in IAM actions."""

    topic: str
    prefix: str
    look: Callable[[Place], Iterable[Finding]]


def findings(checks: Iterable[Check], place: Place) -> Iterator[Finding]:
    """What each check finds, in their order; none of them stops another."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    for check in checks:
        try:
            yield from check.look(place)
        except (BotoCoreError, ClientError, ResponseParserError, GenAIStackError) as error:
            cause = error if isinstance(error, ClientError) else error.__cause__
            yield untold(check, cause if isinstance(cause, ClientError) else error)


def untold(check: Check, error: Any) -> Finding:
    """What is left to say where a question got no answer."""
    operation = getattr(error, "operation_name", None)
    if operation is None:
        return Finding(check.topic, "warn", f"can't tell: {error}", "check the network, then try again")
    action, code = f"{check.prefix}:{operation}", code_of(error)
    if code in DENIED:
        return Finding(
            check.topic, "warn", f"can't tell: these credentials may not {action}", f"allow {action}"
        )
    if code in WHO:
        return Finding(check.topic, "fail", f"AWS doesn't accept these credentials: {code}", "renew them")
    said = error.response.get("Error", {}).get("Message", "")
    return Finding(check.topic, "warn", f"can't tell: {action} failed: {code}: {said}", "try again in a moment")
