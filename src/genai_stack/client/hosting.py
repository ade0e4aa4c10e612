"""The middle layer: models by name, asked directly, without the API's keys, limits and ledger in between."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Unpack

import msgspec

from ..config import GateConfig, derived_name
from ..errors import Conflict, EngineFailed, GenAIStackError, InvalidSpec, NotFound, Overloaded, RequestError
from ..hosted import Task
from ..ports import DirectAccess, ModelVersion, Services
from ..protocol.anatomy import Anatomy
from ..registry import pick, split
from ..sources import absolute
from . import anatomy
from .anatomy import AnatomyOptions
from .gate import Gate
from .importing import Told, bring
from .loop import LoopThread
from .places import Place
from .training import Training

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

CHAT = "/v1/chat/completions"


class ServedModel(msgspec.Struct, frozen=True):
    """A model that can be asked: its live version. `live` says whether it is up now; one that isn't comes up when it is
    asked."""

    name: str
    task: Task
    source: str
    base: str | None
    job: str | None
    created: float
    live: bool
    version: int = 0


class AsyncHosting:
    """Bodies are OpenAI JSON, as mappings; `route` is the API path they would go to, without the `model` in them.

    A name has versions, and answers from the live one. `register` (or `import_`, or a training job) adds one, `promote`
    makes it live, `rollback` takes that back."""

    def __init__(self, services: Services, place: Place, gates: Sequence[GateConfig] = ()) -> None:
        """`place` is where the jobs of `services` run, and where their models lie."""
        self._services, self._place = services, place
        self._gate = Gate(gates, Training(services, place), place.option)

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
        new = source is not None and await asyncio.to_thread(self._register_first, model, source, task, base)
        try:
            await self._services.models.deploy(model)
        except BaseException:
            if new:
                await asyncio.to_thread(self._services.registry.delete, model)
            raise

    async def import_(
        self, source: str, name: str | None = None, *, task: Task = "chat", told: Told = lambda done, of: None
    ) -> ModelVersion:
        """Copies the files of `source` to where models lie, and registers them as a version of `name` (the source's own
        name unless given). The same again goes on where it broke off. `told` hears how many bytes are done, and of how
        many. Raises InvalidModel for what isn't safetensors, or isn't whole."""
        made = await asyncio.to_thread(bring, source, self._place, told)
        version = ModelVersion(
            name or derived_name(source), made.source, task, digest=made.digest, origin=made.origin
        )
        return await asyncio.to_thread(self._services.registry.register, version)

    async def register(
        self, name: str, source: str, *, task: Task = "chat", base: str | None = None
    ) -> ModelVersion:
        """Makes what lies at `source` a version of `name`; an adapter names its `base`, and runs on the version of it
        that is live now, unless NAME@VERSION says which. The first of a name is live at once, each other one waits
        for `promote`."""
        return await asyncio.to_thread(self._register, name, source, task, base)

    async def promote(self, model: str) -> ModelVersion:
        """Makes NAME@VERSION what NAME answers with: it passes the gates of stack.toml, comes up beside the live one,
        and takes its place; requests under way end where they began. Raises Conflict when a gate refuses it, and what
        `deploy` raises when it doesn't come up: then nothing has changed."""
        name, number = split(model)
        if number is None:
            raise InvalidSpec(f"{model!r} names no version; give one, as in {name}@1")
        registry = self._services.registry
        version = await asyncio.to_thread(pick, registry, model)
        await asyncio.to_thread(self._gate.check, version)
        await self._services.models.deploy(model)
        return await asyncio.to_thread(registry.promote, name, number)

    async def rollback(self, name: str) -> ModelVersion:
        """Makes the version live again that was so before, and waits until it is up. Raises Conflict when there was
        none, and what `deploy` raises when it doesn't come up: then nothing has changed."""
        registry = self._services.registry
        was = await asyncio.to_thread(registry.get, name)
        back = await asyncio.to_thread(registry.rollback, name)
        try:
            await self._services.models.deploy(name)
        except GenAIStackError:
            await asyncio.to_thread(registry.promote, name, was.version)
            raise
        return back

    async def access(self, model: str) -> DirectAccess:
        """Where and by what key a client goes straight to the model's endpoint; `openai` makes one of it."""
        return await self._services.models.direct(model)

    async def openai(self, model: str) -> AsyncOpenAI:
        """A real `openai.AsyncOpenAI` straight on the model's SageMaker endpoint, where chat is all there is; requests
        name the model as ever. Its key renews itself. Close it when done. Raises NotFound, and RequestError where
        there is no such way (a stack on this machine, a model that doesn't chat)."""
        from openai import AsyncOpenAI

        access = await self.access(model)

        async def key() -> str:
            return await asyncio.to_thread(access.key)

        return AsyncOpenAI(base_url=access.base_url, api_key=key)

    async def list(self) -> builtins.list[ServedModel]:
        """Every model that can be asked: configured ones first, then the oldest."""
        versions = await asyncio.to_thread(self._services.registry.list)
        live = set(await self._services.models.live())
        return [
            ServedModel(v.name, v.task, v.source, v.base, v.job, v.created, v.name in live, v.version)
            for v in versions
        ]

    async def versions(self, name: str) -> builtins.list[ModelVersion]:
        """Every version of a name, with its lineage; 0 is the configuration's. Raises NotFound."""
        return await asyncio.to_thread(self._services.registry.versions, name)

    async def delete(self, model: str) -> None:
        """Forgets a registered model, or one version of it (NAME@VERSION), and frees what it held once its requests
        have ended; its files stay. Raises NotFound; Conflict for a configured model, a live version, and a base that
        adapters run on."""
        name, number = split(model)
        await asyncio.to_thread(self._services.registry.delete, name, number)
        if number is None:
            with suppress(NotFound):
                await self._services.models.undeploy(name)

    def _register(self, name: str, source: str, task: Task, base: str | None) -> ModelVersion:
        return self._services.registry.register(self._version(name, source, task, base))

    def _version(self, name: str, source: str, task: Task, base: str | None) -> ModelVersion:
        """Raises NotFound for a base that isn't there."""
        parent = None if base is None else pick(self._services.registry, base)
        return ModelVersion(
            name,
            absolute(source),
            task,
            parent.name if parent else None,
            created=time.time(),
            parent=parent.reference if parent else None,
            parent_source=parent.source if parent else None,
        )

    def _register_first(self, model: str, source: str, task: Task, base: str | None) -> bool:
        """Whether the name is new."""
        registry = self._services.registry
        asked = self._version(model, source, task, base)
        try:
            there = registry.get(model)
        except NotFound:
            registry.register(asked)
            return True
        if (there.source, there.task, there.base) != (asked.source, asked.task, asked.base):
            raise Conflict(
                f"{model!r} is live as {there.source}; register {source} as a version of it and promote that, or "
                "choose another name"
            )
        return False


class Hosting:
    """AsyncHosting for a program without an event loop."""

    def __init__(self, over: AsyncHosting, loop: LoopThread) -> None:
        self._over, self._loop = over, loop

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

    def import_(
        self, source: str, name: str | None = None, *, task: Task = "chat", told: Told = lambda done, of: None
    ) -> ModelVersion:
        """Copies a model's files to where models lie, and registers them; see AsyncHosting.import_."""
        return self._loop.run(self._over.import_(source, name, task=task, told=told))

    def register(self, name: str, source: str, *, task: Task = "chat", base: str | None = None) -> ModelVersion:
        """Makes what lies at `source` a version of `name`; see AsyncHosting.register."""
        return self._loop.run(self._over.register(name, source, task=task, base=base))

    def promote(self, model: str) -> ModelVersion:
        """Makes NAME@VERSION what NAME answers with; see AsyncHosting.promote."""
        return self._loop.run(self._over.promote(model))

    def rollback(self, name: str) -> ModelVersion:
        """Makes the version live again that was so before; see AsyncHosting.rollback."""
        return self._loop.run(self._over.rollback(name))

    def openai(self, model: str) -> OpenAI:
        """A real `openai.OpenAI` straight on the model's SageMaker endpoint; see AsyncHosting.openai."""
        from openai import OpenAI

        access = self._loop.run(self._over.access(model))
        return OpenAI(base_url=access.base_url, api_key=access.key)

    def list(self) -> builtins.list[ServedModel]:
        """Every model that can be asked: configured ones first, then the oldest."""
        return self._loop.run(self._over.list())

    def versions(self, name: str) -> builtins.list[ModelVersion]:
        """Every version of a name, with its lineage; 0 is the configuration's. Raises NotFound."""
        return self._loop.run(self._over.versions(name))

    def delete(self, model: str) -> None:
        """Forgets a registered model, or NAME@VERSION, and frees what it held; see AsyncHosting.delete."""
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
