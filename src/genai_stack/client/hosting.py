"""The middle layer: models by name, asked directly, without the API's keys, limits and ledger in between."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Literal, Unpack

import msgspec

from ..errors import EngineFailed, GenAIStackError, NotFound, Overloaded, RequestError
from ..ports import ModelVersion, Services
from ..protocol.anatomy import Anatomy
from . import anatomy
from .anatomy import AnatomyOptions
from .loop import LoopThread

CHAT = "/v1/chat/completions"
Task = Literal["chat", "embedding"]


class HostedModel(msgspec.Struct, frozen=True):
    """A model that can be asked. `live` says whether it is up now; one that isn't comes up when it is asked."""

    name: str
    task: Task
    source: str
    base: str | None
    job: str | None
    created: float
    live: bool


class AsyncHosting:
    """Bodies are OpenAI JSON, as mappings; `route` is the API path they would go to, without the `model` in them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def invoke(self, model: str, body: Mapping[str, Any], *, route: str = CHAT) -> dict[str, Any]:
        """The whole answer. Raises NotFound, RequestError, Overloaded or EngineFailed."""
        reply = await self._services.models.invoke(model, route, _encoded(model, body, stream=False))
        if reply.status != 200:
            raise _refusal(reply.status, reply.body)
        answer: dict[str, Any] = msgspec.json.decode(reply.body)
        return answer

    async def stream(
        self, model: str, body: Mapping[str, Any], *, route: str = CHAT
    ) -> AsyncIterator[dict[str, Any]]:
        """The chunks of the answer as they come. Raises as `invoke` does, and EngineFailed when the answer breaks
        off. Leaving the iteration early cancels the generation."""
        request = _encoded(model, body, stream=True)
        async with self._services.models.stream(model, route, request) as reply:
            if reply.status != 200:
                raise _refusal(reply.status, b"".join([part async for part in reply]))
            buffer = b""
            async for part in reply:
                buffer += part
                *events, buffer = buffer.split(b"\n\n")
                for event in events:
                    data = event.removeprefix(b"data:").strip()
                    if data == b"[DONE]":
                        return
                    if event.startswith(b"data:"):
                        chunk: dict[str, Any] = msgspec.json.decode(data)
                        if chunk.get("error"):
                            raise EngineFailed(str(chunk["error"].get("message", "the stream broke off")))
                        yield chunk
        raise EngineFailed(f"the answer of {model!r} broke off; ask again")

    async def anatomy(self, text: str, *, model: str, **options: Unpack[AnatomyOptions]) -> Anatomy:
        """How `model` reads `text`, step by step; see docs/anatomy.md for the options. Raises as `invoke` does."""
        return anatomy.read(await self.invoke(model, {**options, "text": text}, route=anatomy.ROUTE))

    async def deploy(
        self, model: str, source: str | None = None, *, task: Task = "chat", base: str | None = None
    ) -> None:
        """Brings `model` up now. With a `source` (a directory, s3://bucket/prefix, hf://org/name) it is
        registered first, and forgotten again when it doesn't come up; an adapter names its `base`. Raises Conflict when
        the name stands for something else."""
        new = source is not None and await asyncio.to_thread(self._register, model, source, task, base)
        try:
            await self._services.models.deploy(model)
        except BaseException:
            if new:
                await asyncio.to_thread(self._services.registry.delete, model)
            raise

    def _register(self, model: str, source: str, task: Task, base: str | None) -> bool:
        """Whether the name is new."""
        registry = self._services.registry
        try:
            new = not registry.get(model)
        except NotFound:
            new = True
        registry.register(ModelVersion(model, source, task, base, created=time.time()))
        return new

    async def list(self) -> builtins.list[HostedModel]:
        """Every model that can be asked: configured ones first, then the oldest."""
        versions = await asyncio.to_thread(self._services.registry.list)
        live = set(await self._services.models.live())
        return [
            HostedModel(v.name, v.task, v.source, v.base, v.job, v.created, v.name in live) for v in versions
        ]

    async def delete(self, model: str) -> None:
        """Forgets a registered model and frees what it held; its files stay. Raises NotFound, or Conflict for a
        configured model."""
        version = await asyncio.to_thread(self._services.registry.get, model)
        if version.base is not None:
            await self._services.models.undeploy(model)
        await asyncio.to_thread(self._services.registry.delete, model)


class Hosting:
    """AsyncHosting for a program without an event loop."""

    def __init__(self, services: Services, loop: LoopThread) -> None:
        self._over, self._loop = AsyncHosting(services), loop

    def invoke(self, model: str, body: Mapping[str, Any], *, route: str = CHAT) -> dict[str, Any]:
        """The whole answer. Raises NotFound, RequestError, Overloaded or EngineFailed."""
        return self._loop.run(self._over.invoke(model, body, route=route))

    def stream(self, model: str, body: Mapping[str, Any], *, route: str = CHAT) -> Iterator[dict[str, Any]]:
        """The chunks of the answer as they come; see AsyncHosting.stream."""
        return self._loop.iterate(self._over.stream(model, body, route=route))

    def anatomy(self, text: str, *, model: str, **options: Unpack[AnatomyOptions]) -> Anatomy:
        """How `model` reads `text`, step by step; see AsyncHosting.anatomy."""
        return self._loop.run(self._over.anatomy(text, model=model, **options))

    def deploy(
        self, model: str, source: str | None = None, *, task: Task = "chat", base: str | None = None
    ) -> None:
        """Brings `model` up now; see AsyncHosting.deploy."""
        self._loop.run(self._over.deploy(model, source, task=task, base=base))

    def list(self) -> builtins.list[HostedModel]:
        """Every model that can be asked: configured ones first, then the oldest."""
        return self._loop.run(self._over.list())

    def delete(self, model: str) -> None:
        """Forgets a registered model and frees what it held; see AsyncHosting.delete."""
        self._loop.run(self._over.delete(model))


def _encoded(model: str, body: Mapping[str, Any], *, stream: bool) -> bytes:
    return msgspec.json.encode({**body, "model": model, **({"stream": True} if stream else {})})


def _refusal(status: int, body: bytes) -> GenAIStackError:
    """The error a model's own error body stands for."""
    try:
        told = msgspec.json.decode(body)["error"]
        message, code, param = str(told["message"]), told.get("code"), told.get("param")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        message, code, param = f"the model server answered {status}", None, None
    kinds = {404: NotFound, 429: Overloaded}
    kind = kinds.get(status, RequestError if 400 <= status < 500 else EngineFailed)
    return kind(message, code=code, param=param)
