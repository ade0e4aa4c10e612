"""Texts to vectors and tokens, by the model host."""

from __future__ import annotations

import asyncio
import base64
from array import array
from typing import Any, NamedTuple, TypeVar

import msgspec

from ...errors import EngineFailed, GenAIStackError, Overloaded
from ...ports import ModelHost, Reply
from ...protocol.refusals import refusal
from .chunks import Tokens, guessed, pieces

WAIT_SECONDS = 900.0
"""How long the indexing waits for a model that comes up."""
WINDOW = 512
"""Tokens that every model for embeddings reads at once, where it doesn't say how many it does."""
TRIES = 5
PAUSE_SECONDS = 1.0


class _Vector(msgspec.Struct):
    embedding: str


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: _Usage = _Usage()


class _Tokens(msgspec.Struct):
    max_model_len: int
    offsets: list[tuple[int, int]]


class Embedded(NamedTuple):
    """`vectors` as the index takes them, one for each text; `tokens` is what the model read."""

    vectors: list[bytes]
    tokens: int


T = TypeVar("T")


class Embedder:
    def __init__(self, models: ModelHost) -> None:
        self._models = models

    async def embed(self, model: str, texts: list[str], *, wait: float | None = None) -> Embedded:
        """Raises what the host raises, and the model's own refusal."""
        body = {"model": model, "input": texts, "encoding_format": "base64"}
        found = await self._ask(model, "/v1/embeddings", body, _Vectors, wait)
        if len(found.data) != len(texts):
            raise EngineFailed("The model gave another number of vectors than it was asked for; try again.")
        return Embedded([base64.b64decode(row.embedding) for row in found.data], found.usage.prompt_tokens)

    async def embed_patiently(self, model: str, texts: list[str]) -> Embedded:
        """As `embed`, for work that nobody waits for: through a restart of the model, and behind those who ask."""
        for attempt in range(TRIES):
            try:
                return await self.embed(model, texts, wait=WAIT_SECONDS)
            except (Overloaded, EngineFailed, GenAIStackError) as error:
                if attempt == TRIES - 1 or (error.status < 500 and error.status != 429):
                    raise
                await asyncio.sleep(PAUSE_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    async def tokens(self, model: str, text: str) -> tuple[Tokens, int]:
        """The text's tokens, and how many of them the model reads at once. They are guessed, and rather too many than
        too few, where its server has no such route, as AWS's containers."""
        found, longest = Tokens(array("I"), array("I")), 0
        for at, piece in pieces(text):
            body = {"model": model, "prompt": piece, "add_special_tokens": False, "return_offsets": True}
            reply = await self._models.invoke(
                model, "/v1/tokenize", msgspec.json.encode(body), wait=WAIT_SECONDS
            )
            if 400 <= reply.status < 500 and reply.status != 429:
                return guessed(text), WINDOW
            told = _read(model, "/v1/tokenize", reply, _Tokens)
            longest = told.max_model_len
            found.starts.extend(at + start for start, _ in told.offsets)
            found.ends.extend(at + end for _, end in told.offsets)
        return found, longest

    async def _ask(self, model: str, route: str, body: dict[str, Any], kind: type[T], wait: float | None) -> T:
        return _read(
            model, route, await self._models.invoke(model, route, msgspec.json.encode(body), wait=wait), kind
        )


def _read(model: str, route: str, reply: Reply, kind: type[T]) -> T:
    if reply.status != 200:
        raise refusal(reply.status, reply.body)
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except msgspec.MsgspecError as error:
        raise EngineFailed(f"The model '{model}' answered {route} otherwise than asked: {error}.") from None
