"""RecordStore on SQLite. Ids are kept as UTF-8 bytes, so their order is that of code points, as in DynamoDB."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai_stack.errors import ConditionFailed, LimitReached, RequestError
from genai_stack.ports import Record

from .sqlite import Database

ID_BYTES = 1024
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
        key = _key(collection), _key(id)
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT item, version FROM records WHERE collection = ? AND id = ?", key
            ).fetchone()
        return Record(id, json.loads(row[0]), row[1]) if row else None

    def put(
        self, collection: str, id: str, item: Mapping[str, Any], *, if_version: int | None = None
    ) -> Record:
        """As the port says; RequestError for an id that isn't 1 to 1024 bytes, ValueError for NaN or Infinity."""
        key = _key(collection), _valid(id)
        text = json.dumps(dict(item), separators=(",", ":"), allow_nan=False)
        with self._database.write() as connection:
            version = _expect(connection, key, if_version) + 1
            connection.execute("REPLACE INTO records VALUES (?, ?, ?, ?)", (*key, text, version))
        return Record(id, json.loads(text), version)

    def delete(self, collection: str, id: str, *, if_version: int | None = None) -> None:
        key = _key(collection), _key(id)
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
        clauses, values = ["collection = ?"], [_key(collection)]
        if prefix:
            start = _key(prefix)
            # UTF-8 has no byte 0xFF, so the last byte can always grow by one.
            clauses += ["id >= ?", "id < ?"]
            values += [start, start[:-1] + bytes((start[-1] + 1,))]
        if after is not None:
            clauses.append("id < ?" if descending else "id > ?")
            values.append(_key(after))
        order = "DESC" if descending else "ASC"
        where = " AND ".join(clauses)
        statement = f"SELECT id, item, version FROM records WHERE {where} ORDER BY id {order} LIMIT ?"
        with self._database.read() as connection:
            rows = connection.execute(statement, (*values, max(limit, 0))).fetchall()
        return [Record(_text(id), json.loads(item), version) for id, item, version in rows]

    def add(self, collection: str, id: str, amount: int, *, ceiling: int | None = None) -> int:
        """As the port says. The sum is compared with the ceiling whatever the sign of `amount`."""
        key = _key(collection), _valid(id)
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


def _key(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")


def _valid(id: str) -> bytes:
    key = _key(id)
    if not 0 < len(key) <= ID_BYTES:
        raise RequestError(f"an id has 1 to {ID_BYTES} bytes, this one {len(key)}; choose another")
    return key
