"""A film as it is kept, and the ways it may go: queued → in_progress → completed or failed. What has ended stays as it
is.

Of one that this API's own process asks the model for, that process says again and again that it is alive; when it has
said nothing for LEASE_SECONDS it is taken for dead, and the film has failed, whoever looks next. One that was handed to
a host which works on without us has an `order` instead, and whoever looks takes what it came to.
"""

from __future__ import annotations

import msgspec

from ...ports import ObjectInfo, Order
from ...protocol.videos import Status, Video, VideoError, VideoRequest
from ..ledger import Outcome

LEASE_SECONDS = 30.0
KEPT_SECONDS = 30 * 86_400
"""How long a film stays once it is there."""
DIED = VideoError(
    "server_error", "The process that had this film made ended before it was done; create it again."
)
LATE = VideoError(
    "model_timeout", "The model hasn't answered in time; create it again, or ask for a shorter film."
)


class Spent(msgspec.Struct, frozen=True):
    """What the ledger is told: when it ended, in Unix seconds, the seconds of its model, and how it ended."""

    ended: float
    served: float
    outcome: Outcome


class StoredVideo(msgspec.Struct, frozen=True):
    """`key` is who pays. `asked` is the request, without its reference and with the model that makes it. `alive` is the
    Unix time until which its process has promised to be there. `leaving`: it is being removed. `spent` is there once it
    has ended, and `charged` once the ledger has it."""

    id: str
    created_at: int
    key: str
    asked: VideoRequest
    base: str | None = None
    remixed_from: str | None = None
    status: Status = "queued"
    alive: float = 0.0
    order: Order | None = None
    content: ObjectInfo | None = None
    fault: VideoError | None = None
    completed_at: int | None = None
    expires_at: int | None = None
    leaving: bool = False
    spent: Spent | None = None
    charged: bool = False

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed")

    @property
    def model(self) -> str:
        return self.asked.model or ""

    def shown(self) -> Video:
        return Video(
            self.id,
            self.created_at,
            self.model,
            self.status,
            100 if self.status == "completed" else 0,
            self.asked.prompt,
            self.asked.seconds,
            self.asked.size,
            self.completed_at,
            self.expires_at,
            self.fault,
            self.remixed_from,
        )


def begun(now: StoredVideo) -> StoredVideo:
    return msgspec.structs.replace(now, status="in_progress") if now.status == "queued" else now


def lives(now: StoredVideo, until: float) -> StoredVideo:
    return now if now.ended else msgspec.structs.replace(now, alive=max(now.alive, until))


def ordered(now: StoredVideo, order: Order) -> StoredVideo:
    if now.ended or now.order is not None:
        return now
    return msgspec.structs.replace(now, status="in_progress", order=order)


def completed(now: StoredVideo, content: ObjectInfo, at: int, spent: Spent) -> StoredVideo:
    if now.ended:
        return now
    return msgspec.structs.replace(
        now, status="completed", content=content, completed_at=at, expires_at=at + KEPT_SECONDS, spent=spent
    )


def failed(now: StoredVideo, fault: VideoError, at: float) -> StoredVideo:
    if now.ended:
        return now
    return msgspec.structs.replace(now, status="failed", fault=fault, spent=Spent(at, 0.0, "failed"))


def leaving(now: StoredVideo, at: float) -> StoredVideo:
    """One that its host is still at is paid for until now; what another process was at, that process tells."""
    spent = now.spent
    if not now.ended and now.order is not None:
        spent = Spent(at, max(at - now.order.at, 0.0), "left")
    return msgspec.structs.replace(now, leaving=True, spent=spent)
