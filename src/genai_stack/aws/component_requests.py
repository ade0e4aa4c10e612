"""A hosted model's components as a custom resource of CloudFormation: it asks, and waits for an answer at an address.

A component takes minutes to come up or go, and a large model longer than one call of a function may: the function then
calls itself on, and CloudFormation waits for the last of them. Requests and answers are those of the "Custom resource
reference" of CloudFormation's user guide.
"""

from __future__ import annotations

import logging
import time
import urllib.request
from collections.abc import Callable
from typing import Any, Literal, Protocol

import msgspec

from genai_stack import names
from genai_stack.errors import GenAIStackError
from genai_stack.hosted import HostedModel

from . import session
from .faults import translated

POLL_SECONDS = 10.0
SPARE_SECONDS = 60.0
"""Of a call's time, kept for the answer or for calling on."""
PATIENCE_SECONDS = 3300.0
"""CloudFormation waits an hour (the resource's ServiceTimeout), and is told before."""
REASON = 1000
"""Characters of an answer's reason; the whole answer may have 4,096 bytes."""
SINCE = "GenAIStackSince"
"""In a call that goes on: when the first was made, in Unix seconds."""


class Context(Protocol):
    """What Lambda tells of a call."""

    invoked_function_arn: str

    def get_remaining_time_in_millis(self) -> int: ...


class Components(Protocol):
    """`genai_stack.aws.components.Components`: none of these waits, each can be called again."""

    def ensure(self, hosted: HostedModel) -> None: ...

    def settled(self, hosted: HostedModel) -> bool: ...

    def remove(self, hosted: HostedModel) -> bool: ...


def answer(
    event: dict[str, Any],
    context: Context,
    stage: str,
    *,
    components: Components | None = None,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> None:
    """Does what `event` asks (Create, Update, Delete) and answers once it is done, or has failed: an error that nobody
    foresaw is an answer too, and is logged. Without the time for it, calls the function on and answers nothing. The
    resource's property `Hosted` is a HostedModel as JSON. Raises GenAIStackError when the answer can't be given."""
    try:
        hosted = msgspec.json.decode(event["ResourceProperties"]["Hosted"], type=HostedModel)
        status, reason = _outcome(event, context, stage, hosted, components, pause, now)
    except GenAIStackError as error:
        status, reason = "FAILED", error.message
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", event["RequestType"])
        status, reason = (
            "FAILED",
            f"unexpected {type(error).__name__}: {error}; the function's log has all of it",
        )
    if status is not None:
        _tell(event, stage, status, reason)


def _outcome(
    event: dict[str, Any],
    context: Context,
    stage: str,
    hosted: HostedModel,
    components: Components | None,
    pause: Callable[[float], None],
    now: Callable[[], float],
) -> tuple[Literal["SUCCESS", "FAILED"] | None, str]:
    """The answer and its reason; none where the function was called on."""
    since = float(event.get(SINCE, now()))
    if _done(event, context, hosted, components or _components(stage), pause):
        return "SUCCESS", "done"
    if now() - since > PATIENCE_SECONDS:
        return "FAILED", f"{hosted.name!r} has not settled within the hour; see its log group"
    _call_on({**event, SINCE: since}, context)
    return None, "goes on"


def _done(
    event: dict[str, Any],
    context: Context,
    hosted: HostedModel,
    components: Components,
    pause: Callable[[float], None],
) -> bool:
    """Whether it is done, asked until the call's time is almost over."""
    removing = event["RequestType"] == "Delete"
    if not removing and SINCE not in event:
        components.ensure(hosted)
    check = components.remove if removing else components.settled
    while not check(hosted):
        if context.get_remaining_time_in_millis() / 1000 < SPARE_SECONDS + POLL_SECONDS:
            return False
        pause(POLL_SECONDS)
    return True


def _components(stage: str) -> Components:
    from . import components

    return components.Components(stage)


def _call_on(event: dict[str, Any], context: Context) -> None:
    function = context.invoked_function_arn
    with translated("lambda", function, "hosting"):
        session.client("lambda").invoke(
            FunctionName=function, InvocationType="Event", Payload=msgspec.json.encode(event)
        )


def _tell(event: dict[str, Any], stage: str, status: str, reason: str) -> None:
    """The resource goes by the component's name: another one is another resource, and the old one is deleted. One that
    can't be read for its name keeps what it goes by."""
    body = msgspec.json.encode(
        {
            "Status": status,
            "Reason": reason[:REASON],
            "PhysicalResourceId": _name(event, stage),
            **{key: event[key] for key in ("StackId", "RequestId", "LogicalResourceId")},
        }
    )
    # The address is signed for a request without a content type.
    request = urllib.request.Request(event["ResponseURL"], body, {"Content-Type": ""}, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=session.READ_SECONDS):
            pass
    except OSError as error:
        raise GenAIStackError(
            f"CloudFormation can't be answered: {error}; it waits an hour, then rolls back"
        ) from error


def _name(event: dict[str, Any], stage: str) -> str:
    try:
        return names.component(stage, msgspec.json.decode(event["ResourceProperties"]["Hosted"])["name"])
    except (KeyError, TypeError, AttributeError, msgspec.DecodeError):
        return str(event.get("PhysicalResourceId") or event["LogicalResourceId"])
