"""A model host that embeds words by their hashes, and a reader that takes what it gets for text."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

from genai_stack.errors import InvalidDocument
from genai_stack.ports import Reply
from tests.service.fakes import FakeHost

DIMENSIONS = 64
WINDOW = 64


class WordHost(FakeHost):
    """Texts with the same words have close vectors. `held` keeps embeddings of documents waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.held = False
        self.broken = 0
        self.longest = 0

    async def invoke(self, model: str, route: str, body: bytes, *, wait: float | None = None) -> Reply:
        asked = json.loads(body)
        if route == "/v1/tokenize":
            offsets = [match.span() for match in re.finditer(r"\w{1,6}|[^\w\s]", asked["prompt"])]
            return _reply(
                {"count": len(offsets), "max_model_len": WINDOW + 16, "tokens": [], "offsets": offsets}
            )
        if route != "/v1/embeddings":
            return await super().invoke(model, route, body, wait=wait)
        while self.held and wait is not None:  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.01)
        if self.broken and wait is not None:
            self.broken -= 1
            return Reply(500, "application/json", b'{"error": {"message": "the engine broke"}}')
        self.longest = max(
            self.longest, *(len(re.findall(r"\w{1,6}|[^\w\s]", text)) for text in asked["input"])
        )
        data = [{"embedding": base64.b64encode(vector(text)).decode()} for text in asked["input"]]
        return _reply({"data": data, "usage": {"prompt_tokens": len(data), "total_tokens": len(data)}})


class TextReader:
    """`reads` counts; a document that says "boom" is none."""

    def __init__(self) -> None:
        self.reads = 0

    async def read(self, name: str, content: Iterator[bytes]) -> str:
        self.reads += 1
        text = b"".join(content).decode()
        if "boom" in text:
            raise InvalidDocument("It went off.", code="invalid_file")
        return text


def vector(text: str) -> bytes:
    sums = [0.01] * DIMENSIONS
    for word in re.findall(r"\w+", text.casefold()):
        sums[hashlib.sha256(word.encode()).digest()[0] % DIMENSIONS] += 1.0
    return struct.pack(f"<{DIMENSIONS}f", *sums)


def _reply(body: Any) -> Reply:
    return Reply(200, "application/json", json.dumps(body).encode())
