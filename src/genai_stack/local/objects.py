"""ObjectStore in a directory: contents in files of random names, keys in an SQLite index beside them.

A key never becomes a path, so no key can leave the directory, and none meets another on a file system that
folds case. The index commit is what makes an object appear, whole.
"""

from __future__ import annotations

import builtins
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from genai_stack.errors import ObjectNotFound, RequestError
from genai_stack.ports import ObjectInfo

from .files import sync_directory
from .keys import checked, encode, within
from .locks import acquire
from .sqlite import Database

CHUNK = 1 << 20
SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    key BLOB NOT NULL PRIMARY KEY, blob TEXT NOT NULL, bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL, modified REAL NOT NULL
) WITHOUT ROWID;
"""
COLUMNS = "key, bytes, sha256, modified"


class DirectoryObjects:
    """Safe from any thread and from several processes at once; of two puts of one key the later commit stays.
    A key is 1 to 1024 bytes of UTF-8 (RequestError)."""

    def __init__(self, directory: Path) -> None:
        self._blobs, self._temporary = directory / "blobs", directory / "tmp"
        for path in (self._blobs, self._temporary):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._index = Database(directory / "index.sqlite", SCHEMA)
        sync_directory(directory)
        self._swept = False

    def put(self, key: str, data: bytes | Iterable[bytes]) -> ObjectInfo:
        """When `data` raises, nothing has changed."""
        name = _valid(key)
        self._sweep()
        file, path = self._create()
        with file:
            try:
                size, sha256 = _write(file, (data,) if isinstance(data, bytes) else data)
                return self._commit(name, ObjectInfo(key, size, sha256, time.time()), path)
            finally:
                path.unlink(missing_ok=True)

    def get(self, key: str) -> bytes:
        with self._open(key) as file:
            return file.read()

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        file = self._open(key)
        chunks = _chunks(file, start, end)
        next(chunks)  # from here on the generator owns the file, and closes it when it is dropped
        return chunks

    def head(self, key: str) -> ObjectInfo:
        with self._index.read() as connection:
            row = connection.execute(f"SELECT {COLUMNS} FROM objects WHERE key = ?", (_valid(key),)).fetchone()
        if row is None:
            raise _absent(key)
        return _info(row)

    def list(
        self, prefix: str = "", *, after: str | None = None, limit: int = 1000
    ) -> builtins.list[ObjectInfo]:
        clauses, values = within("key", prefix)
        if after is not None:
            clauses.append("key > ?")
            values.append(encode(after))
        statement = (
            f"SELECT {COLUMNS} FROM objects WHERE {' AND '.join(['TRUE', *clauses])} ORDER BY key LIMIT ?"
        )
        with self._index.read() as connection:
            return [_info(row) for row in connection.execute(statement, (*values, max(limit, 0)))]

    def delete(self, key: str) -> None:
        with self._index.write() as connection:
            statement = "DELETE FROM objects WHERE key = ? RETURNING blob"
            blobs = connection.execute(statement, (_valid(key),)).fetchall()
        for (blob,) in blobs:
            (self._blobs / blob).unlink(missing_ok=True)

    def address(self, key: str) -> str:
        with self._index.read() as connection:
            row = connection.execute("SELECT blob FROM objects WHERE key = ?", (_valid(key),)).fetchone()
        if row is None:
            raise _absent(key)
        return str((self._blobs / row[0]).absolute())

    def close(self) -> None:
        self._index.close()

    def _open(self, key: str) -> BinaryIO:
        name = _valid(key)
        while True:
            with self._index.read() as connection:
                row = connection.execute("SELECT blob FROM objects WHERE key = ?", (name,)).fetchone()
            if row is None:
                raise _absent(key)
            try:
                return open(self._blobs / row[0], "rb")
            except FileNotFoundError:  # replaced since; the index says by what
                with self._index.read() as connection:
                    again = connection.execute("SELECT blob FROM objects WHERE key = ?", (name,)).fetchone()
                if again == row:
                    raise _absent(key) from None

    def _create(self) -> tuple[BinaryIO, Path]:
        """A new temporary file, locked while it is open: that is how a sweep knows it from a leftover."""
        while True:
            path = self._temporary / secrets.token_hex(16)
            file = open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
            fcntl.flock(file, fcntl.LOCK_EX)
            if path.exists():
                return file, path
            file.close()  # swept before it was locked

    def _commit(self, key: bytes, info: ObjectInfo, temporary: Path) -> ObjectInfo:
        with self._index.write() as connection:
            old = connection.execute("SELECT blob FROM objects WHERE key = ?", (key,)).fetchone()
            os.rename(temporary, self._blobs / temporary.name)
            sync_directory(self._blobs)
            connection.execute(
                "REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
                (key, temporary.name, info.bytes, info.sha256, info.modified),
            )
        if old:
            (self._blobs / old[0]).unlink(missing_ok=True)
        return info

    def _sweep(self) -> None:
        """Removes what crashed writers left, once per process and before its first write."""
        if self._swept:
            return
        self._swept = True
        for path in self._temporary.iterdir():
            if path.exists() and (lock := acquire(path, patience=0)):
                path.unlink(missing_ok=True)
                lock.release()
        with self._index.write() as connection:  # no put is between its rename and its commit now
            known = {row[0] for row in connection.execute("SELECT blob FROM objects")}
            for path in self._blobs.iterdir():
                if path.name not in known:
                    path.unlink(missing_ok=True)


def _write(file: BinaryIO, parts: Iterable[bytes]) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    for part in parts:
        file.write(part)
        digest.update(part)
        size += len(part)
    file.flush()
    os.fsync(file.fileno())
    return size, digest.hexdigest()


def _chunks(file: BinaryIO, start: int, end: int | None) -> Iterator[bytes]:
    with file:
        yield b""
        file.seek(start)
        while end is None or file.tell() < end:
            chunk = file.read(CHUNK if end is None else min(CHUNK, end - file.tell()))
            if not chunk:
                return
            yield chunk


def _info(row: tuple[bytes, int, str, float]) -> ObjectInfo:
    return ObjectInfo(row[0].decode(), row[1], row[2], row[3])


def _valid(key: str) -> bytes:
    if not key.isascii() and any("\ud800" <= character <= "\udfff" for character in key):
        raise RequestError("an object's key is UTF-8 text; this one holds a lone surrogate")
    return checked(key, "an object's key")


def _absent(key: str) -> ObjectNotFound:
    return ObjectNotFound(f"no object under {key[:200]!r}; list the prefix to see what there is")
