"""One SQLite file for many threads and processes: WAL, synchronous=FULL, one writer at a time."""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_SECONDS = 60.0
"""How long a writer waits for writers in other processes."""


class Database:
    """A pool of connections to `path`. `schema` is a script of CREATE … IF NOT EXISTS, run at the start."""

    def __init__(self, path: Path, schema: str) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._writing = threading.Lock()
        weakref.finalize(self, _close_all, self._idle)
        with self._connection() as connection:
            # Both statements take locks only when there is something to change.
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                _switch_to_wal(connection)
            connection.executescript(schema)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for single SELECTs; each sees the last commit of any process."""
        with self._connection() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction alone among writers; durable when the block has been left, undone if it raised."""
        with self._writing, self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Closes the idle connections; the database opens again on use."""
        _close_all(self._idle)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        try:
            yield connection
        except sqlite3.Error:
            connection.close()
            raise
        except BaseException:
            self._idle.append(connection)
            raise
        self._idle.append(connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=FULL")
        return connection


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """The switch needs the file alone, and SQLite doesn't wait for that by itself."""
    for attempt in range(200):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if attempt == 199 or "locked" not in str(error):
                raise
            time.sleep(0.02)
