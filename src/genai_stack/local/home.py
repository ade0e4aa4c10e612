"""The home directory of the local stack: who lives where, and who lives there now.

records.sqlite      records, counters, jobs
objects/            files by key
vectors/<store>/    one vector store's index
jobs/<id>/          one job: spec.json, output/, log.txt
cache/              what can be made again
run/                lock, stack.json (the running stack), servers/ (its model servers)
key                 the API key, made once, mode 0600
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from genai_stack.errors import AlreadyRunning, GenAIStackError

from .files import sync_directory, write_whole
from .locks import acquire, held


class Running(msgspec.Struct, frozen=True):
    """A live stack. `base_url` is None for the moment in which it comes up."""

    pid: int
    base_url: str | None = None


class Home:
    """Made on first use with mode 0700. Raises GenAIStackError when the directory can't be made."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.records = self.path / "records.sqlite"
        self.objects = self.path / "objects"
        self.vectors = self.path / "vectors"
        self.jobs = self.path / "jobs"
        self.cache = self.path / "cache"
        self.run = self.path / "run"
        self.servers = self.run / "servers"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            for directory in (self.objects, self.vectors, self.jobs, self.cache, self.run, self.servers):
                directory.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self.path)
        except OSError as error:
            raise GenAIStackError(
                f"{self.path} can't be the home directory: {error.strerror}; give --home or GENAI_STACK_HOME"
            ) from error

    def key(self) -> str:
        """The API key kept here, made on first use. `GENAI_STACK_API_KEY` (settings.api_key) goes before it."""
        path = self.path / "key"
        while True:
            try:
                if text := path.read_text().strip():
                    return text
                path.unlink(missing_ok=True)  # emptied by hand
            except FileNotFoundError:
                pass
            write_whole(path, f"sk-gs-{secrets.token_urlsafe(32)}\n".encode(), replace=False)

    @contextmanager
    def lock(self) -> Iterator[Occupancy]:
        """Makes this process the running stack for the length of the block, and for no longer whatever ends it.
        Raises AlreadyRunning when another one is."""
        lock = acquire(self.run / "lock")
        if lock is None:
            raise AlreadyRunning(self._occupied())
        try:
            occupancy = Occupancy(self._stack)
            occupancy.announce(None)
            yield occupancy
        finally:
            self._stack.unlink(missing_ok=True)
            lock.release()

    def running(self) -> Running | None:
        """The live stack of this home. What a killed one left behind doesn't count: the lock is the truth."""
        if not held(self.run / "lock"):
            return None
        try:
            return msgspec.json.decode(self._stack.read_bytes(), type=Running)
        except (OSError, msgspec.DecodeError):
            return None

    @property
    def _stack(self) -> Path:
        return self.run / "stack.json"

    def _occupied(self) -> str:
        now = self.running()
        who = f"process {now.pid}" if now else "another process"
        where = f" at {now.base_url}" if now and now.base_url else ""
        return f"{self.path} is in use by {who}{where}; stop that one, or give another --home"


class Occupancy:
    """The running stack's card at the door."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def announce(self, base_url: str | None) -> None:
        """Tells `Home.running` where this process answers (`http://host:port/v1`), once it does."""
        write_whole(self._path, msgspec.json.encode(Running(os.getpid(), base_url)))
