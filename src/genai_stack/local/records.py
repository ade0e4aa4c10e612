"""RecordStore on SQLite."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai_stack.errors import ConditionFailed, LimitReached
from genai_stack.ports import Record

from .keys import checked, decode, encode, within
from .sqlite import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    collection BLOB NOT NULL, id BLOB NOT NULL, item TEXT NOT NULL, version INTEGER NOT NULL, expires INTEGER,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (
    collection BLOB NOT NULL, id BLOB NOT NULL, value INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID;
"""

_INDEX = "CREATE INDEX IF NOT EXISTS expiring ON records (expires) WHERE expires IS NOT NULL"
_LIVE = "(expires IS NULL OR expires > ?)"
_SWEEP = """DELETE FROM records WHERE (collection, id) IN
(SELECT collection, id FROM records WHERE expires <= ? ORDER BY expires LIMIT 20)"""


class SqliteRecords:
    """Safe from any thread and from several processes at once. Counters are apart from records. Each write of a record
    that expires takes up to twenty away that have."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SCHEMA)
        self._have_expiry()

    def get(self, collection: str, id: str) -> Record | None:
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT item, version FROM records WHERE collection = ? AND id = ? AND {_LIVE}",
                (encode(collection), encode(id), time.time()),
            ).fetchone()
        return Record(id, json.loads(row[0]), row[1]) if row else None

    def put(
        self,
        collection: str,
        id: str,
        item: Mapping[str, Any],
        *,
        if_version: int | None = None,
        expires: float | None = None,
    ) -> Record:
        """As the port says; RequestError for an id that isn't 1 to 1024 bytes, ValueError for NaN or Infinity."""
        key = encode(collection), checked(id, "an id")
        text = json.dumps(dict(item), separators=(",", ":"), allow_nan=False)
        with self._database.write() as connection:
            version = _expect(connection, key, if_version) + 1
            until = None if expires is None else math.ceil(expires)
            connection.execute(
                "REPLACE INTO records (collection, id, item, version, expires) VALUES (?, ?, ?, ?, ?)",
                (*key, text, version, until),
            )
            if until is not None:
                connection.execute(_SWEEP, (int(time.time()),))
        return Record(id, json.loads(text), version)

    def delete(self, collection: str, id: str, *, if_version: int | None = None) -> None:
        key = encode(collection), encode(id)
        with self._database.write() as connection:
            _expect(connection, key, if_version)
            connection.execute("DELETE FROM records WHERE collection = ? AND id = ?", key)

    def query(
        self,
        collection: str,
        *,
        prefix: str = "",
        after: str | None = None,
        limit: int = 100,
        descending: bool = False,
    ) -> list[Record]:
        clauses, bounds = within("id", prefix)
        clauses.append(_LIVE)
        values: list[Any] = [*bounds, time.time()]
        if after is not None:
            clauses.append("id < ?" if descending else "id > ?")
            values.append(encode(after))
        order = "DESC" if descending else "ASC"
        where = " AND ".join(["collection = ?", *clauses])
        statement = f"SELECT id, item, version FROM records WHERE {where} ORDER BY id {order} LIMIT ?"
        with self._database.read() as connection:
            rows = connection.execute(statement, (encode(collection), *values, max(limit, 0))).fetchall()
        return [Record(decode(id), json.loads(item), version) for id, item, version in rows]

    def add(self, collection: str, id: str, amount: int, *, ceiling: int | None = None) -> int:
        """As the port says. The sum is compared with the ceiling whatever the sign of `amount`."""
        key = encode(collection), checked(id, "an id")
        with self._database.write() as connection:
            row = connection.execute(
                "SELECT value FROM counters WHERE collection = ? AND id = ?", key
            ).fetchone()
            value: int = (row[0] if row else 0) + amount
            if ceiling is not None and value > ceiling:
                raise LimitReached(f"{collection} {id} would reach {value}; its limit is {ceiling}")
            connection.execute("REPLACE INTO counters VALUES (?, ?, ?)", (*key, value))
        return value

    def close(self) -> None:
        self._database.close()

    def _have_expiry(self) -> None:
        """For a file from before records could expire."""
        with self._database.read() as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'expiring'").fetchone():
                return
        with self._database.write() as connection:
            columns = connection.execute("PRAGMA table_info(records)").fetchall()
            if not any(column[1] == "expires" for column in columns):
                connection.execute("ALTER TABLE records ADD COLUMN expires INTEGER")
            connection.execute(_INDEX)


def _expect(connection: sqlite3.Connection, key: tuple[bytes, bytes], if_version: int | None) -> int:
    """The version that is there, 0 for none. Raises ConditionFailed when another one was asked for."""
    row = connection.execute(
        f"SELECT version FROM records WHERE collection = ? AND id = ? AND {_LIVE}", (*key, time.time())
    ).fetchone()
    version: int = row[0] if row else 0
    if if_version is not None and version != if_version:
        name = " ".join(part.decode("utf-8", "replace") for part in key)
        was = f"is at version {version}" if version else "doesn't exist"
        raise ConditionFailed(f"{name} {was}, not at {if_version}; read it again")
    return version
