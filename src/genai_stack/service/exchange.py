"""One request and its answer: what every handler is given, and the only place that speaks ASGI messages.

Every answer carries `x-request-id` (the client's own when it is a sane token) and `openai-processing-ms`.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from ..errors import GenAIStackError, NotDeployedError, TooLarge
from ..protocol import problems
from .usage import NOTHING

if TYPE_CHECKING:
    from .limits import Admission
    from .principal import Principal

Handler = Callable[["Exchange"], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON = b"application/json"
CLIENT_GONE = 499
"""What logs and metrics call a request whose client left; nobody receives it."""
_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class ClientGone(Exception):
    """The client left before it had its answer."""


class Exchange:
    """`route` is the matched template, never the raw path. `model` is a name the registry knows, so that both are
    safe to log. `base` is what that model was tuned from. `used` is what the answer reported. `gone`: the client has
    left; `streamed`: the answer comes in events; `uploading`: the body is still coming; `broken`: the answer began and
    ended in an error. `told` are headers of any answer, `admission` is what was set aside of the limits. `first_byte`
    is the model's first, in seconds from the start: a comment that keeps a stream alive is none. `asked` is when the
    model was, by the clock of `started`, and `served` how many seconds it took, 0 where it wasn't. `charged`: the
    ledger has it, or will when work that it began has ended. `before_end` is awaited before the answer's last piece
    goes out."""

    __slots__ = (
        "_send",
        "admission",
        "asked",
        "base",
        "before_end",
        "broken",
        "charged",
        "first_byte",
        "gone",
        "headers",
        "method",
        "model",
        "path_params",
        "principal",
        "query",
        "receive",
        "request_id",
        "route",
        "served",
        "started",
        "status",
        "streamed",
        "told",
        "uploading",
        "used",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.started = time.perf_counter()
        self.method: str = scope["method"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.query: bytes = scope.get("query_string", b"")
        self.path_params: dict[str, Any] = {}
        self.receive = receive
        self._send = send
        self.request_id = _request_id(self.header(b"x-request-id"))
        self.route = "unmatched"
        self.status = 0
        self.first_byte: float | None = None
        self.gone = False
        self.streamed = False
        self.uploading = False
        self.broken = False
        self.charged = False
        self.before_end: Callable[[], Awaitable[None]] | None = None
        self.admission: Admission | None = None
        self.asked: float | None = None
        self.served = 0.0
        self.told: list[tuple[bytes, bytes]] = []
        self.base: str | None = None
        self.model: str | None = None
        self.principal: Principal | None = None
        self.used = NOTHING

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def tap(self, send: Send) -> Send:
        """Whatever is sent from now on goes to `send`; returns where it went so far."""
        before, self._send = self._send, send
        return before

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around what asks the model: notes how long it took, also for a client that left; nothing where it failed."""
        self.asked = time.perf_counter()
        try:
            yield
        except ClientGone:
            self.served = time.perf_counter() - self.asked
            raise
        self.served = time.perf_counter() - self.asked

    async def answer(self, status: int, body: bytes, *, kind: bytes = JSON, headers: Headers = ()) -> None:
        await self._start(status, kind, [(b"content-length", b"%d" % len(body)), *headers])
        await self._ending()
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, error: GenAIStackError, *, headers: Headers = ()) -> None:
        """Answers with the error. Where the client is in the middle of a body too large, the connection closes."""
        if self.uploading and isinstance(error, TooLarge):
            await self._linger(error)
            return
        extra = [*encoded(problems.headers(error)), *headers]
        await self.answer(error.status, problems.body(error), headers=extra)

    async def _linger(self, error: GenAIStackError, *, seconds: float = 2.0) -> None:
        """The answer goes out at once; then what still comes is thrown away for a moment, since closing at once
        would take the answer away from a client that reads it only after it has sent all."""
        body = problems.body(error)
        extra = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await self._start(error.status, JSON, [*extra, *encoded(problems.headers(error))])
        await self.write(body)
        try:
            async with asyncio.timeout(seconds):
                while (message := await self.receive())["type"] == "http.request" and message.get("more_body"):
                    pass
        except TimeoutError:
            pass
        await self.finish()

    async def begin(self, status: int, kind: bytes, headers: Headers = ()) -> None:
        """Starts an answer whose body follows by `write` and `finish`."""
        await self._start(status, kind, list(headers))

    async def open_stream(self, kind: bytes, *, first: bool = True) -> None:
        """Starts a 200 whose body follows in pieces; nothing is sent when it has started. `first` says that the model's
        first byte is there; the first to say so counts."""
        if first and self.first_byte is None:
            self.first_byte = time.perf_counter() - self.started
        if not self.status:
            extra = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
            await self._start(200, kind, extra, first=False)

    async def write(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def finish(self) -> None:
        await self._ending()
        await self._send({"type": "http.response.body", "body": b""})

    async def _ending(self) -> None:
        if self.before_end is not None:
            await self.before_end()

    async def _start(
        self, status: int, kind: bytes, extra: list[tuple[bytes, bytes]], *, first: bool = True
    ) -> None:
        self.status = status
        now = time.perf_counter()
        if first:
            self.first_byte = now - self.started
        headers = [
            (b"content-type", kind),
            (b"x-request-id", self.request_id),
            (b"openai-processing-ms", b"%d" % ((now - self.started) * 1000)),
            (b"server-timing", self._timing(now)),
            *self.told,
            *extra,
        ]
        message: Message = {"type": "http.response.start", "status": status, "headers": headers}
        await self._send(message)

    def _timing(self, now: float) -> bytes:
        """Milliseconds until the model was asked, and from then on."""
        if self.asked is None:
            return b"app;dur=%.1f" % ((now - self.started) * 1000)
        return b"app;dur=%.1f, model;dur=%.1f" % (
            (self.asked - self.started) * 1000,
            (now - self.asked) * 1000,
        )


class UntilGone:
    """While inside, the client's leaving cancels the work: `with UntilGone(exchange): await …` raises ClientGone; where
    `stays` says so, the work goes on, and `exchange.gone` tells. Any other cancellation is the server's, which stops:
    the client is told so.

    Costs one task per request, none per chunk. Enter it only once the body has been read, and leave it before the
    last piece of the answer goes out: a server reports a finished answer as a disconnect too.
    """

    __slots__ = ("_exchange", "_stays", "_watch", "_work")

    def __init__(self, exchange: Exchange, *, stays: bool = False) -> None:
        self._exchange, self._stays = exchange, stays

    def __enter__(self) -> None:
        work = asyncio.current_task()
        assert work is not None
        self._work = work
        self._watch = asyncio.create_task(self._until_gone())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.cancel()
        if self._exchange.gone and not self._stays:
            self._work.uncancel()
            raise ClientGone from None
        if kind is asyncio.CancelledError:
            raise stopping() from None

    async def _until_gone(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._exchange.gone = True
        if not self._stays:
            self._work.cancel()


def stopping() -> NotDeployedError:
    return NotDeployedError("This server is stopping; send the request again in a moment.", code="stopping")


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _request_id(given: bytes | None) -> bytes:
    if given is not None and _SANE_ID.fullmatch(given):
        return given
    return b"req_" + os.urandom(12).hex().encode()
