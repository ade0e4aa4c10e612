"""RecordStore on SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai_stack.errors import ConditionFailed, LimitReached
from genai_stack.ports import Record

from .keys import checked, decode, encode, within
from .sqlite import Database

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    collection BLOB NOT NULL, id BLOB NOT NULL, item TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (
    collection BLOB NOT NULL, id BLOB NOT NULL, value INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
) WITHOUT ROWID;
"""


class SqliteRecords:
    """Safe from any thread and from several processes at once. Counters are apart from records."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SCHEMA)

    def get(self, collection: str, id: str) -> Record | None:
        key = encode(collection), encode(id)
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT item, version FROM records WHERE collection = ? AND id = ?", key
            ).fetchone()
        return Record(id, json.loads(row[0]), row[1]) if row else None

    def put(
        self, collection: str, id: str, item: Mapping[str, Any], *, if_version: int | None = None
    ) -> Record:
        """As the port says; RequestError for an id that isn't 1 to 1024 bytes, ValueError for NaN or Infinity."""
        key = encode(collection), checked(id, "an id")
        text = json.dumps(dict(item), separators=(",", ":"), allow_nan=False)
        with self._database.write() as connection:
            version = _expect(connection, key, if_version) + 1
            connection.execute("REPLACE INTO records VALUES (?, ?, ?, ?)", (*key, text, version))
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
        clauses, values = within("id", prefix)
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


def _expect(connection: sqlite3.Connection, key: tuple[bytes, bytes], if_version: int | None) -> int:
    """The version that is there, 0 for none. Raises ConditionFailed when another one was asked for."""
    row = connection.execute("SELECT version FROM records WHERE collection = ? AND id = ?", key).fetchone()
    version: int = row[0] if row else 0
    if if_version is not None and version != if_version:
        name = " ".join(part.decode("utf-8", "replace") for part in key)
        was = f"is at version {version}" if version else "doesn't exist"
        raise ConditionFailed(f"{name} {was}, not at {if_version}; read it again")
    return version
