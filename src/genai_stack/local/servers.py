"""One model server process per base model: started, joined, watched and ended.

The process that starts a server holds `run/servers/<digest>.lock` for as long as it wants it, and the server ends
when its stdin does, so a kill -9 of the owner leaves neither server nor lock. Another process of the same home finds
the lock taken and the address beside it, and joins.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import aiohttp
import msgspec
from yarl import URL

from genai_stack import settings
from genai_stack.errors import EngineFailed, GenAIStackError, ModelWarming
from genai_stack.ports import ModelVersion

from .files import write_whole
from .home import Home
from .locks import FileLock, acquire, held
from .processes import terminate

PROGRAM = "genai_stack.hosting"
REFRAIN_SECONDS = 2.0
"""After a start that failed, requests are told so for this long before it is tried again."""
MAX_SPAWNS = 3
"""How often a server that is killed while it comes up is started anew; one that gives up itself isn't."""
GOODBYE_SECONDS = 8.0
"""What a server gets to end by itself once its stdin has closed."""


class Address(msgspec.Struct, frozen=True):
    """What a server says of itself on stdout, in one JSON line, as soon as its port is open."""

    port: int
    pid: int


class Refusal(msgspec.Struct, frozen=True):
    """What it says instead when it can't use the model."""

    class Error(msgspec.Struct, frozen=True):
        message: str

    error: Error


class ModelServer:
    """The server of one base model. `attached` are the adapters it is known to hold, name to source."""

    def __init__(
        self,
        home: Home,
        model: ModelVersion,
        *,
        program: str = PROGRAM,
        options: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.attached: dict[str, str] = {}
        self.attaching = asyncio.Lock()
        self._users = 0
        self._idle = asyncio.Event()
        self._idle.set()
        digest = hashlib.sha256(f"{model.name}\0{model.source}".encode()).hexdigest()[:16]
        self._card = home.servers / f"{digest}.json"
        self._lock_path = home.servers / f"{digest}.lock"
        self._log = home.servers / f"{digest}.log"
        # Safe path: a file in the working directory must not stand in for a module.
        self._command = [sys.executable, "-P", "-m", program, model.source, "--name", model.name]
        self._command += ["--port", "0", "--announce", "--home", str(home.path), *options]
        self._lock: FileLock | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._url: URL | None = None
        self._starting: asyncio.Task[URL] | None = None
        self._failure: tuple[float, GenAIStackError] | None = None

    async def url(self, session: aiohttp.ClientSession, patience: float | None = None) -> URL:
        """Where the server answers; starts or joins it when needed. Any number of callers share one start.

        Raises EngineFailed when it doesn't come up, ModelWarming (503) when it takes longer than `patience`
        seconds; it goes on coming up then.
        """
        if self._url is not None:
            if self.up:
                return self._url
            self._forget()
        if self._starting is None:
            if self._failure and time.monotonic() - self._failure[0] < REFRAIN_SECONDS:
                raise self._failure[1]
            self._starting = asyncio.create_task(self._start(session))
            self._starting.add_done_callback(self._started)
        starting = self._starting
        try:
            return await asyncio.wait_for(asyncio.shield(starting), patience)
        except TimeoutError:
            raise _loading(self.model.name) from None
        except asyncio.CancelledError:
            us = asyncio.current_task()
            if starting.cancelled() and us is not None and not us.cancelling():
                raise EngineFailed(f"{self._name()} was stopped while it came up; try again") from None
            raise

    @property
    def up(self) -> bool:
        """Whether it answered when it was last asked, and runs on as far as this process knows."""
        return self._url is not None and (self._process is None or self._process.poll() is None)

    @property
    def busy(self) -> bool:
        """Whether a request of this process is under way."""
        return self._users > 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """For the length of one request: who waits for `idle` waits for its end."""
        self._users += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self._idle.set()

    async def idle(self) -> None:
        """Returns when no request of this process is under way."""
        await self._idle.wait()

    async def answering(self, session: aiohttp.ClientSession) -> URL | None:
        """Where it answers now, be it in another process; starts nothing and waits for nothing."""
        if self._url is not None:
            return self._url
        url = self._address() if held(self._lock_path) else None
        return url if url is not None and await _ready(session, url) else None

    def lost(self, url: URL) -> None:
        """A request to `url` broke: the next caller looks whether the server is there, and starts or joins one."""
        if url == self._url:
            self._url = None

    async def stop(self) -> None:
        """Ends the server if this process started it; one that another process started is left to it."""
        if self._starting is not None:
            self._starting.cancel()
            with suppress(asyncio.CancelledError, GenAIStackError):
                await self._starting
        if self._process is not None:
            self._card.unlink(missing_ok=True)
            await asyncio.to_thread(_bury, self._process, GOODBYE_SECONDS)
        self._forget()

    def _forget(self) -> None:
        self._url = None
        self.attached.clear()
        process, self._process = self._process, None
        if process is not None:
            _bury(process)
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _started(self, task: asyncio.Task[URL]) -> None:
        self._starting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._url, self._failure = task.result(), None
        else:
            failure = error if isinstance(error, GenAIStackError) else EngineFailed(f"{self._name()}: {error}")
            self._failure = (time.monotonic(), failure)
            self._forget()

    async def _start(self, session: aiohttp.ClientSession) -> URL:
        spawned = 0
        while True:
            if self._process is None and (lock := acquire(self._lock_path, patience=0)) is not None:
                self._lock, spawned = lock, spawned + 1
                await self._spawn(lock)
            url = self._address()
            if url is not None and await _ready(session, url):
                return url
            if self._process is not None and (code := self._process.poll()) is not None:
                if spawned == MAX_SPAWNS or (spawned and code >= 0):
                    raise EngineFailed(f"{self._name()} didn't come up: {self._last_words()}")
                self._forget()
            await asyncio.sleep(0.03)

    async def _spawn(self, lock: FileLock) -> None:
        """Starts the process and waits until it has said where it listens."""
        process = self._process = self._launch()
        loop = asyncio.get_running_loop()
        announced: asyncio.Future[bytes] = loop.create_future()

        def announce(line: bytes) -> None:
            if not announced.done():
                announced.set_result(line)

        def watch() -> None:
            assert process.stdout is not None
            with process.stdout:
                line = process.stdout.readline()
                with suppress(RuntimeError):  # the loop has closed
                    loop.call_soon_threadsafe(announce, line)
                process.wait()
            lock.release()  # whoever needs the server next may start one, in whatever process

        threading.Thread(target=watch, name=f"model-server-{self.model.name}", daemon=True).start()
        line = await announced
        try:
            msgspec.json.decode(line, type=Address)
        except msgspec.DecodeError:
            raise EngineFailed(
                f"{self._name()} didn't come up: {_refusal(line) or self._last_words()}"
            ) from None
        write_whole(self._card, line)

    def _launch(self) -> subprocess.Popen[bytes]:
        self._card.unlink(missing_ok=True)
        with open(self._log, "wb") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; the server ends after the last answer
                env=settings.child_environment(),
            )

    def _address(self) -> URL | None:
        try:
            address = msgspec.json.decode(self._card.read_bytes(), type=Address)
        except (OSError, msgspec.DecodeError):
            return None
        return URL.build(scheme="http", host="127.0.0.1", port=address.port)

    def _name(self) -> str:
        return f"the model server of {self.model.name!r}"

    def _last_words(self) -> str:
        lines = [line.strip() for line in Path(self._log).read_text(errors="replace").splitlines()]
        return f"{next((line for line in reversed(lines) if line), 'it said nothing')} (see {self._log})"


async def _ready(session: aiohttp.ClientSession, url: URL) -> bool:
    try:
        async with session.get(url / "ping", timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


def _refusal(line: bytes) -> str | None:
    try:
        return msgspec.json.decode(line, type=Refusal).error.message
    except msgspec.DecodeError:
        return None


def _loading(name: str) -> ModelWarming:
    error = ModelWarming(f"{name!r} is still loading; try again in a moment")
    error.retry_after = 5.0
    return error


def _bury(process: subprocess.Popen[bytes], patience: float = 0.0) -> None:
    """Closes the server's stdin, which ends it; after `patience` seconds it is killed with all it started."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        terminate(process.pid, grace=0)
        process.wait()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, 9)  # an engine that outlived its server
