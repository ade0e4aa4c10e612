"""The models behind one server: a base, and the adapters on it, each with an engine of its own.

At most `max_adapters` adapters are held in memory; one more takes the place of the one that was idle longest, which
comes up again when it is asked for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import msgspec

from .. import sources
from ..errors import Conflict, NotFound, RequestError
from .architecture import model_type, read_architecture, read_encoder
from .engine import Engine
from .serving import Served, read_defaults
from .text import load_text
from .wire import Load

_DRAIN = 30.0
"""Seconds that requests to an adapter which is being removed have to end."""
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class Limits(msgspec.Struct, frozen=True):
    """Per model. `threads` 0 takes every core."""

    precision: str = "int8"
    threads: int = 0
    max_running: int = 64
    max_waiting: int = 256
    kv_cache_mb: int = 512
    max_adapters: int = 4


class Adapter:
    """`src` is in `directory`. `served` is None while it isn't held in memory; `used` orders adapters by their last
    request."""

    def __init__(self, name: str, src: str, directory: Path) -> None:
        self.name, self.src, self.directory = name, src, directory
        self.served: Served | None = None
        self.users = self.used = 0
        self.idle = asyncio.Event()

    @contextmanager
    def in_use(self, now: int) -> Iterator[None]:
        self.users, self.used = self.users + 1, now
        self.idle.clear()
        try:
            yield
        finally:
            self.users -= 1
            if not self.users:
                self.idle.set()


class Fleet:
    def __init__(self, source: str, name: str, home: Path, limits: Limits) -> None:
        """Reads the model's settings and tokenizer; weights wait for `start`. Raises InvalidModel."""
        self._limits = limits
        self._directory = sources.resolve(source)
        embeds = model_type(self._directory) == "bert"
        if embeds:
            encoder = read_encoder(self._directory)
            context, vocabulary, width = (
                encoder.max_position_embeddings,
                encoder.vocab_size,
                encoder.hidden_size,
            )
        else:
            shape = read_architecture(self._directory)
            context, vocabulary, width = shape.context, shape.vocabulary, 0
        self._load = Load(
            directory=str(self._directory),
            adapter=None,
            cache=str(home / "engine"),
            precision="f32" if limits.precision == "f32" else "int8",
            threads=limits.threads,
            max_running=limits.max_running,
            kv_cache_mb=limits.kv_cache_mb,
            sha256=MINILM_SHA256 if source == "minilm" else None,
        )
        self.base = Served(
            name=name,
            text=load_text(self._directory),
            engine=Engine(self._load, max_waiting=limits.max_waiting),
            context=context,
            vocabulary=vocabulary,
            width=width,
            defaults=read_defaults(self._directory),
            directory=self._directory,
        )
        self.adapters: dict[str, Adapter] = {}
        self._clock = itertools.count(1)
        self._draining: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self.base.engine.start()

    async def close(self) -> None:
        engines = [self.base.engine, *(a.served.engine for a in self.adapters.values() if a.served)]
        await asyncio.gather(*(engine.close() for engine in engines))
        for task in self._draining:
            task.cancel()
        await asyncio.gather(*self._draining, return_exceptions=True)

    @asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[Served]:
        """The model of that name, held in memory until the block ends. Raises NotFound (model_not_found)."""
        if name == self.base.name:
            yield self.base
            return
        adapter = self.adapters.get(name)
        if adapter is None:
            raise NotFound(
                f"The model '{name}' isn't served here; GET /v1/models lists the ones that are.",
                param="model",
                code="model_not_found",
            )
        with adapter.in_use(next(self._clock)):
            yield self._raise_up(adapter)

    async def load(self, name: str, src: str) -> None:
        """Serves the adapter `src` (as `sources.resolve` takes it) under `name`, and returns when it answers. The same
        again is accepted. Raises Conflict for a name that is taken, RequestError or InvalidModel for an unusable
        adapter."""
        self._require_free(name, src)
        if self.base.width:
            raise RequestError(
                "An embedding model takes no adapters; serve a base that generates text.", param="src"
            )
        if name not in self.adapters:
            directory = await asyncio.to_thread(sources.resolve, src)
            self._require_free(name, src)  # another one may have come meanwhile
            self.adapters.setdefault(name, Adapter(name, src, directory))
        adapter = self.adapters[name]
        with adapter.in_use(next(self._clock)):
            try:
                await self._raise_up(adapter).engine.ready()
            except BaseException:
                if self.adapters.get(name) is adapter:
                    del self.adapters[name]
                if adapter.served:
                    await adapter.served.engine.close()
                raise

    async def unload(self, name: str) -> None:
        """New requests find no such model at once; the ones under way may end. Raises NotFound."""
        adapter = self.adapters.pop(name, None)
        if adapter is None:
            raise NotFound(f"There is no adapter '{name}'; GET /adapters lists them.", param="name")
        task = asyncio.create_task(self._drain(adapter))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)
        if not adapter.users:
            await task

    def _require_free(self, name: str, src: str) -> None:
        known = self.adapters.get(name)
        if name == self.base.name or (known and known.src != src):
            raise Conflict(f"The model name '{name}' is taken; choose another, or delete that adapter first.")

    def _raise_up(self, adapter: Adapter) -> Served:
        if adapter.served is None or adapter.served.engine.refusal:
            self._make_room()
            load = msgspec.structs.replace(self._load, adapter=str(adapter.directory))
            engine = Engine(load, max_waiting=self._limits.max_waiting)
            engine.start()
            adapter.served = msgspec.structs.replace(
                self.base, name=adapter.name, engine=engine, adapter=adapter.directory
            )
        return adapter.served

    def _make_room(self) -> None:
        """Sends the longest idle adapters away; those in use stay, whatever the limit says."""
        loaded = sorted((a for a in self.adapters.values() if a.served), key=lambda a: a.used)
        for adapter in loaded:
            if len(loaded) < self._limits.max_adapters:
                return
            if not adapter.users and adapter.served:
                served, adapter.served = adapter.served, None
                task = asyncio.create_task(served.engine.close())
                self._draining.add(task)
                task.add_done_callback(self._draining.discard)
                loaded = [a for a in loaded if a.served]

    async def _drain(self, adapter: Adapter) -> None:
        if adapter.users:
            with suppress(TimeoutError):
                await asyncio.wait_for(adapter.idle.wait(), _DRAIN)
        if adapter.served:
            await adapter.served.engine.close()
