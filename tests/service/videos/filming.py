"""A model host that makes films, and one that takes them as work for later, as SageMaker does."""

from __future__ import annotations

import asyncio
import time

from genai_stack.errors import ModelFailed
from genai_stack.ports import ModelVersion, Order, Outcome, Reply
from tests.service.fakes import CHAT, FakeHost
from tests.service.media_host import taken_apart

MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(range(256)) * 8
PNG = b"\x89PNG\r\n\x1a\n picture"
MODELS = (
    ModelVersion(CHAT, "builtin"),
    ModelVersion("films", "hf://o/films", "video"),
    ModelVersion("movies", "hf://o/movies", "video"),
)


class FilmHost(FakeHost):
    """Holds a film back while `hanging`; `forms` are what it was asked for: fields and the sizes of files."""

    def reset(self) -> None:
        super().reset()
        self.hanging = False
        self.running = 0
        self.forms: list[tuple[dict[str, bytes], list[tuple[str, int]]]] = []
        self.film = MP4

    async def invoke(
        self, model: str, route: str, body: bytes, *, wait: float | None = None, kind: str = "application/json"
    ) -> Reply:
        assert route == "/v1/videos/sync"
        self.forms.append(taken_apart(body, kind))
        self.running += 1
        try:
            while self.hanging:  # noqa: ASYNC110 - set from another thread
                await asyncio.sleep(0.005)
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.left.set()
            raise
        finally:
            self.running -= 1
        if self.failure is not None:
            raise self.failure
        return Reply(self.status, "video/mp4", self.body if self.body is not None else self.film)


class LongHost:
    """`asked` are the forms by the order's question; what it comes to is put into `made`, a failure into `broke`."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[str, str, bytes, str]] = {}
        self.made: dict[str, bytes] = {}
        self.broke: dict[str, str] = {}
        self.withdrawn: set[str] = set()
        self.failure: Exception | None = None
        self.delay = 0.0
        self.seconds = 5.0

    async def order(self, model: str, route: str, body: bytes, *, kind: str = "application/json") -> Order:
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        return self.taken(model, route, body, kind)

    def taken(self, model: str, route: str, body: bytes, kind: str) -> Order:
        name = f"q{len(self.asked)}"
        self.asked[name] = model, route, body, kind
        return Order(name, name, name, time.time())

    def outcome(self, order: Order) -> Outcome | None:
        if order.question in self.broke:
            raise ModelFailed(self.broke[order.question])
        if order.question not in self.made:
            return None
        return Outcome(iter([self.made[order.question]]), order.at + self.seconds)

    def withdraw(self, order: Order) -> None:
        self.withdrawn.add(order.question)
        self.made.pop(order.question, None)

    def form(self, name: str) -> tuple[dict[str, bytes], list[tuple[str, int]]]:
        _, _, body, kind = self.asked[name]
        return taken_apart(body, kind)
