"""A response as it is kept, and the ways it may go: queued → in_progress → completed, incomplete, failed or cancelled.
What has ended stays as it is. A response made while its client waits is kept once it has ended; only one that runs in
the background is ever kept before.

Who runs one in the background says again and again that it is alive. When it has said nothing for LEASE_SECONDS, its
process is taken for dead, and the response has failed, whoever looks next.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ...protocol.items import Item
from ...protocol.responses import ENDED, Response, ResponseFault, Status
from .overflow import Laid

LEASE_SECONDS = 30.0
DIED = ResponseFault(
    "server_error", "The process that made this response ended before it was done; create it again."
)


class Body(msgspec.Struct, frozen=True):
    """`input` is what this response itself was given; what came before is its chain's, or its conversation's."""

    response: Response
    input: list[Item]

    @property
    def items(self) -> list[Item]:
        return [*self.input, *self.response.output]


class StoredResponse(msgspec.Struct, frozen=True):
    """`status`, `fault` and `ended_at` are the newest state, `body` the newest content. `alive` is the Unix time until
    which the process that runs it has promised to be there. `events` is the object with the events of a streamed
    background response."""

    id: str
    status: Status
    body: Laid
    previous: str | None = None
    conversation: str | None = None
    background: bool = False
    streamed: bool = False
    alive: float = 0.0
    fault: ResponseFault | None = None
    ended_at: int | None = None
    events: str | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def well(self) -> bool:
        return self.status in ("completed", "incomplete")

    def shown(self, body: Body) -> Response:
        more: dict[str, Any] = {"status": self.status, "error": self.fault or body.response.error}
        if self.ended and not self.well:
            more["completed_at"] = None
        return msgspec.structs.replace(body.response, **more)


def begun(now: StoredResponse) -> StoredResponse:
    return msgspec.structs.replace(now, status="in_progress") if now.status == "queued" else now


def lives(now: StoredResponse, until: float) -> StoredResponse:
    return now if now.ended else msgspec.structs.replace(now, alive=max(now.alive, until))


def finished(now: StoredResponse, status: Status, body: Laid, events: str | None) -> StoredResponse:
    if now.ended:
        return now
    ended_at = int(time.time())
    return msgspec.structs.replace(now, status=status, body=body, events=events, ended_at=ended_at)


def failed(now: StoredResponse, fault: ResponseFault) -> StoredResponse:
    if now.ended:
        return now
    return msgspec.structs.replace(now, status="failed", fault=fault, ended_at=int(time.time()))


def cancelled(now: StoredResponse) -> StoredResponse:
    if now.ended:
        return now
    return msgspec.structs.replace(now, status="cancelled", ended_at=int(time.time()))


def looked_at(now: StoredResponse, moment: float) -> StoredResponse:
    """Failed, where its process is dead."""
    return failed(now, DIED) if not now.ended and now.alive < moment else now
