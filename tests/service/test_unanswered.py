"""What a model read for a client that left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from genai_stack.ports import Reply, ReplyStream
from genai_stack.protocol.refusals import refusal
from genai_stack.protocol.tasks import SummarizeRequest
from genai_stack.service.unanswered import read_of
from genai_stack.service.usage import Used
from genai_stack.tasks.model import Model
from tests.service.fakes import CHAT
from tests.service.task_host import ReadingHost


class WaitingHost(ReadingHost):
    """Never comes to answer a chat."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Semaphore(0)

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        if route == "/v1/tokenize":
            words = " ".join(message["content"] for message in json.loads(body)["messages"])
            return Reply(200, "application/json", json.dumps({"count": len(words.split())}).encode())
        self.asked.release()
        await asyncio.Event().wait()
        raise AssertionError

    @asynccontextmanager
    async def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AsyncIterator[ReplyStream]:
        self.asked.release()
        await asyncio.Event().wait()
        yield cast(ReplyStream, None)


async def test_what_the_model_read_for_nobody_is_counted() -> None:
    host = WaitingHost()
    model = Model(host, CHAT, refusal, SummarizeRequest(text="x"))

    async def tell(piece: str) -> None:
        raise AssertionError(piece)

    for told in (None, tell):
        messages = [{"role": "user", "content": "one two three"}]
        asking = asyncio.create_task(model.chat(messages, 5, tell=told))
        await host.asked.acquire()
        asking.cancel()
        await asyncio.wait([asking])
    assert len(model.unanswered) == 2
    assert model.served > 0
    assert await read_of(host, CHAT, model.unanswered) == Used(6)
