"""ModelHost over loopback: bytes to and from the model server of each base, adapters attached when first asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from genai_stack import sources
from genai_stack.errors import EngineFailed, GenAIStackError, NotFound, RequestError
from genai_stack.ports import JSON, DirectAccess, ModelRegistry, ModelVersion, Reply, ReplyStream
from genai_stack.protocol import endings
from genai_stack.registry import base_of, pick, split

from .home import Home
from .servers import PROGRAM, ModelServer

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
KEEPALIVE_SECONDS = 4.0
"""Below the server's own: a connection it is about to close is never reused."""
BROKEN = (aiohttp.ClientError, OSError)


class LoopbackHost:
    """A request is sent once: what breaks after a server took it is EngineFailed, never a second generation.
    Belongs to one event loop until `close`, after which it may be used again."""

    def __init__(
        self,
        home: Home,
        registry: ModelRegistry,
        *,
        program: str = PROGRAM,
        options: Sequence[str] = (),
        patience: float = 60.0,
    ) -> None:
        """`program` is the server's module, `options` more of its arguments. A request waits `patience` seconds for
        a model that is loading."""
        self._home, self._registry = home, registry
        self._program, self._options, self._patience = program, options, patience
        self._servers: dict[tuple[str, str], ModelServer] = {}
        self._answering: dict[str, ModelServer] = {}
        """By name: the server that requests go to. It lags behind the registry while a new version comes up."""
        self._tasks: dict[tuple[str, ModelServer], asyncio.Task[None]] = {}
        self._session: aiohttp.ClientSession | None = None

    async def invoke(
        self, model: str, route: str, body: bytes, *, wait: float | None = None, kind: str = JSON
    ) -> Reply:
        async with self._answer(model, route, body, wait, kind) as answer:
            chunks = [chunk async for chunk in answer]
            return Reply(answer.status, answer.content_type, b"".join(chunks))

    @asynccontextmanager
    async def stream(
        self, model: str, route: str, body: bytes, *, wait: float | None = None
    ) -> AsyncIterator[ReplyStream]:
        async with self._answer(model, route, body, wait) as answer:
            yield answer

    async def direct(self, model: str) -> DirectAccess:
        self._find(model)
        raise RequestError(
            "a model server on this machine has no API of its own; go through the stack's: stack.service",
            code="no_direct_access",
        )

    async def deploy(self, model: str) -> None:
        """Waits as long as it takes; cancelled, the model goes on coming up. Of NAME@VERSION it is that version, live
        or not: a base's comes up beside the live one, an adapter's is looked over. Where another process runs the
        stack of this home, that one brings it up for itself, and here it only shows that it can."""
        version = pick(self._registry, model)
        if version.base is not None and version != self._registry.get(version.name):
            await asyncio.to_thread(sources.resolve, version.source)
            return
        server = self._server(version if version.base is None else base_of(self._registry, version))
        if rehearsed := self._elsewhere() and version.base is None and not server.up:
            joined = await server.answering(self._client()) is not None
        url = await server.url(self._client())
        try:
            await self._attach(version, server, url)
        except BROKEN as error:
            server.lost(url)
            raise _failed(server, error) from error
        live = self._registry.get(version.name)
        if rehearsed and not joined and version != live:
            await self._retired(server, whatever=True)
        elif version.base is None and version == live:
            self._moved(version)

    async def undeploy(self, model: str) -> None:
        """A model that the registry has forgotten since is freed all the same. Requests under way end first; what is
        asked meanwhile keeps a base up."""
        name, number = split(model)
        try:
            version = pick(self._registry, model)
            base = version if version.base is None else base_of(self._registry, version)
        except NotFound:
            holders = [s for s in self._servers.values() if name in s.attached or s.model.name == name]
            if not holders:
                raise
        else:
            if number is not None and version.base is not None:
                return
            holders = [self._server(base)]
        for server in holders:
            if server.model.name == name:
                if self._answering.get(name) is server:
                    del self._answering[name]
                self._in_background("retire", server, self._retired(server, whatever=True))
                if not server.busy:
                    await self._tasks["retire", server]
                continue
            server.attached.pop(name, None)
            if (url := await server.answering(self._client())) is not None:
                with suppress(*BROKEN):
                    await self._detach(name, url)

    async def live(self) -> list[str]:
        """In the registry's order."""
        up: set[str] = set()
        versions = self._registry.list()
        for server in {self._server(v) for v in versions if v.base is None} | set(self._servers.values()):
            with suppress(*BROKEN):
                if (url := await server.answering(self._client())) is not None:
                    up |= {server.model.name, *await self._adapters(url)}
        return [version.name for version in versions if version.name in up]

    async def close(self) -> None:
        """Ends the servers this process started."""
        servers = {*self._servers.values(), *(server for _, server in self._tasks)}
        for task in (tasks := list(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(server.stop() for server in servers))
        self._servers.clear()
        self._answering.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_SECONDS),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
                headers={"Content-Type": "application/json"},
                auto_decompress=False,
            )
        return self._session

    def _find(self, model: str) -> tuple[ModelVersion, ModelServer]:
        version = self._registry.get(model)
        if version.base is not None:
            return version, self._server(base_of(self._registry, version))
        return version, self._moved(version)

    def _moved(self, base: ModelVersion) -> ModelServer:
        """The server of the live version. While that one comes up beside it, the one before goes on; then it ends with
        its last request, unless adapters run on it."""
        wanted = self._server(base)
        now = self._answering.setdefault(base.name, wanted)
        if now is wanted:
            return wanted
        if now.up and not wanted.up:
            self._in_background("raise", wanted, self._raised(wanted))
            return now
        self._answering[base.name] = wanted
        self._in_background("retire", now, self._retired(now))
        return wanted

    async def _raised(self, server: ModelServer) -> None:
        with suppress(GenAIStackError):  # the one before goes on, and the next request tries again
            await server.url(self._client())

    async def _retired(self, server: ModelServer, *, whatever: bool = False) -> None:
        """Ends the server after its last request, unless its name answers from it again by then, or adapters run on
        it; `whatever` those."""
        while server.busy:
            await server.idle()
        if server in self._answering.values() or (server.attached and not whatever):
            return
        # A request from here on makes another ModelServer, which waits until this one has ended.
        self._servers = {key: one for key, one in self._servers.items() if one is not server}
        await server.stop()

    def _in_background(self, what: str, server: ModelServer, work: Coroutine[Any, Any, None]) -> None:
        """`work`, unless it is under way already."""
        key = what, server
        if key in self._tasks:
            work.close()
            return
        task = self._tasks[key] = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def _elsewhere(self) -> bool:
        """Whether another process runs the stack of this home."""
        running = self._home.running()
        return running is not None and running.pid != os.getpid()

    def _server(self, base: ModelVersion) -> ModelServer:
        key = base.name, base.source
        if key not in self._servers:
            self._servers[key] = ModelServer(self._home, base, program=self._program, options=self._options)
        return self._servers[key]

    @asynccontextmanager
    async def _answer(
        self, model: str, route: str, body: bytes, wait: float | None, kind: str = JSON
    ) -> AsyncIterator[_Answer]:
        version, server = self._find(model)
        patience = self._patience if wait is None else wait
        with server.in_use():
            answer = await self._send(version, server, route, body, patience, kind)
            try:
                yield answer
            finally:
                answer.close()

    async def _send(
        self, version: ModelVersion, server: ModelServer, route: str, body: bytes, patience: float, kind: str
    ) -> _Answer:
        """The request reaches a server once. It goes again only when nobody took it: the port refused, or the server
        had dropped the adapter."""
        headers = {ATTRIBUTES: f"route={route}", "Content-Type": kind}
        session = self._client()
        refused = dropped = False
        while True:
            url = await server.url(session, patience)
            try:
                await self._attach(version, server, url)
                response = await session.post(url / "invocations", data=body, headers=headers)
                if response.status != 404 or version.base is None or dropped:
                    return _Answer(response, partial(server.lost, url))
                said = await response.read()
            except aiohttp.ClientConnectorError as error:
                server.lost(url)
                if refused:
                    raise _failed(server, error) from error
                refused = True
                continue
            except BROKEN as error:
                server.lost(url)
                raise _failed(server, error) from error
            if _code(said) != "model_not_found":
                return _Answer(response, lambda: None, said)
            dropped = True
            server.attached.pop(version.name, None)

    async def _attach(self, version: ModelVersion, server: ModelServer, url: URL) -> None:
        """Raises EngineFailed when the server can't load the adapter, and what aiohttp raises."""
        if version.base is None or server.attached.get(version.name) == version.source:
            return
        async with server.attaching:
            if server.attached.get(version.name) == version.source:
                return
            status, said = await self._load(version, url)
            if status == 409:  # an older adapter of that name, deleted from the registry since
                await self._detach(version.name, url)
                status, said = await self._load(version, url)
            if status >= 400:
                raise EngineFailed(f"the adapter {version.name!r} can't be loaded: {_message(said)}")
            server.attached[version.name] = version.source

    async def _load(self, version: ModelVersion, url: URL) -> tuple[int, bytes]:
        adapter = msgspec.json.encode({"name": version.name, "src": version.source})
        async with self._client().post(url / "adapters", data=adapter) as answer:
            return answer.status, await answer.read()

    async def _detach(self, name: str, url: URL) -> None:
        async with self._client().delete(URL(f"{url}/adapters/{quote(name, safe='')}", encoded=True)):
            pass

    async def _adapters(self, url: URL) -> list[str]:
        async with self._client().get(url / "adapters") as answer:
            listed = msgspec.json.decode(await answer.read(), type=_Adapters)
        return [adapter.name for adapter in listed.adapters if adapter.loaded]


class _Answer:
    """A ReplyStream. Closing it before its end closes the connection, and that cancels the generation."""

    def __init__(
        self, response: aiohttp.ClientResponse, broke: Callable[[], None], body: bytes | None = None
    ) -> None:
        """`broke` is called when the answer breaks off; `body` is what was read of it already, the whole."""
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "application/json")
        self._response, self._broke, self._body = response, broke, body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._body is not None:
            yield self._body
            return
        read = self._response.content.readany
        says_its_end = self.status == 200 and self.content_type.startswith("text/event-stream")
        last = b""
        while True:
            try:
                chunk = await read()
            except BROKEN as error:
                self._broke()
                message = "the model server broke off in the middle of its answer; try again"
                raise EngineFailed(message) from error
            if not chunk:
                break
            if says_its_end:
                last = endings.tail(last, chunk)
            yield chunk
        if says_its_end and not endings.ended(last):
            raise EngineFailed("the model stopped before its answer was complete; try again")

    def close(self) -> None:
        self._response.close()


def _failed(server: ModelServer, error: BaseException) -> EngineFailed:
    return EngineFailed(f"the model server of {server.model.name!r} doesn't answer ({error}); try again")


class _Adapter(msgspec.Struct):
    name: str
    loaded: bool


class _Adapters(msgspec.Struct):
    adapters: list[_Adapter]


class _Error(msgspec.Struct):
    message: str = ""
    code: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error


def _code(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error.code
    except msgspec.DecodeError:
        return None


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_ErrorBody).error.message
    except msgspec.DecodeError:
        return body[:200].decode(errors="replace")
