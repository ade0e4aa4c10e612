"""VectorIndex on SQLite and NumPy: a directory for each store.

index.sqlite      its files, passages and words (FTS5), and which rows of the matrix are whose
rows-<n>.f32      the matrix; n grows when it is written anew without the rows of removed files

The matrix is written first, and counts once SQLite has committed. A search reads every vector: exact, at the speed of
memory. What SQLite tells of rows is kept in memory between writes (12 bytes a vector).
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from genai_stack.ports import Hit, IndexedFile, Passage
from genai_stack.protocol.filters import Filter, passes
from genai_stack.vectors import bad_vector, checked, wrong_size

from . import matrix
from .files import sync_directory
from .sqlite import Database
from .words import expression

SCHEMA = """
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1), dimensions INTEGER, matrix INTEGER, rows INTEGER, dead INTEGER,
    version INTEGER
);
INSERT OR IGNORE INTO state VALUES (1, 0, 0, 0, 0, 0);
CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, name TEXT NOT NULL, attributes TEXT NOT NULL,
    first INTEGER NOT NULL, rows INTEGER NOT NULL, owners BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS passages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS passages_of ON passages (file);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    text, content='passages', content_rowid='number', tokenize='unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab (words, 'row');
"""
OPEN = 64
"""Stores that stay open; one more closes the one that was opened first."""
SPARE_ROWS = 4096
"""Rows of removed files that are left lying before the matrix is written anew, whatever their share."""


class SqliteVectors:
    """Safe from any thread and from several processes at once. `root` is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stores: dict[str, _Store] = {}
        self._lock = threading.Lock()

    def put(
        self, store: str, file: IndexedFile, passages: Sequence[Passage], vectors: bytes, owners: Sequence[int]
    ) -> int:
        checked(file.id, "a file")
        found = self._open(store, make=True)
        assert found is not None
        return found.put(file, passages, vectors, owners)

    def describe(self, store: str, file: IndexedFile) -> None:
        if found := self._open(store):
            found.describe(file)

    def remove(self, store: str, file: str) -> None:
        if found := self._open(store):
            found.remove(file)

    def drop(self, store: str) -> None:
        place = self._root / checked(store, "a store")
        with self._lock:
            if found := self._stores.pop(store, None):
                found.close()
            gone = place.with_name(f".{store}.{secrets.token_hex(4)}")
            try:
                os.rename(place, gone)
            except FileNotFoundError:
                pass
            else:
                sync_directory(self._root)
            for left in self._root.glob(f".{store}.*"):
                shutil.rmtree(left, ignore_errors=True)

    def passages(self, store: str, file: str) -> list[Passage]:
        found = self._open(store)
        return found.passages(file) if found else []

    def nearest(self, store: str, vector: bytes, limit: int, filter: Filter | None = None) -> list[Hit]:
        return self._searched(store, lambda found: found.nearest(vector, limit, filter))

    def matching(self, store: str, text: str, limit: int, filter: Filter | None = None) -> list[Hit]:
        return self._searched(store, lambda found: found.matching(text, limit, filter))

    def close(self) -> None:
        with self._lock:
            while self._stores:
                self._stores.popitem()[1].close()

    def _searched(self, store: str, search: Callable[[_Store], list[Hit]]) -> list[Hit]:
        """Nothing in a store that is dropped meanwhile."""
        if (found := self._open(store)) is None:
            return []
        try:
            return search(found)
        except (OSError, sqlite3.Error):
            if self._open(store) is found:
                raise
            return []

    def _open(self, name: str, make: bool = False) -> _Store | None:
        place = self._root / checked(name, "a store")
        with self._lock:
            found = self._stores.get(name)
            if found is None or not place.exists():
                self._stores.pop(name, None)
                if not make and not place.exists():
                    return None
                for directory in (self._root, place):
                    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                    sync_directory(directory.parent)
                if len(self._stores) >= OPEN:
                    self._stores.pop(next(iter(self._stores))).close()
                found = self._stores[name] = _Store(place)
            return found


class _View(NamedTuple):
    """What a search goes by. Per row: the passage's number, and the place of its file in `files`; -1 for a row of
    none."""

    version: int
    rows: matrix.Floats
    passages: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int32]
    files: list[IndexedFile]
    numbers: list[int]


class _Store:
    def __init__(self, place: Path) -> None:
        self._place = place
        self._database = Database(place / "index.sqlite", SCHEMA)
        self._kept: _View | None = None
        self._common: set[str] = set()
        self._viewing = threading.Lock()

    def close(self) -> None:
        self._database.close()

    def put(self, file: IndexedFile, passages: Sequence[Passage], vectors: bytes, owners: Sequence[int]) -> int:
        with self._database.write() as connection:
            self._remove(connection, file.id)
            rows = self._fitting(connection, vectors, owners)
            first = self._state(connection)[2]
            number = connection.execute(
                "INSERT INTO files (id, name, attributes, first, rows, owners) VALUES (?, ?, ?, ?, ?, '')",
                (file.id, file.name, _encoded(file), first, len(rows)),
            ).lastrowid
            numbers = []
            for passage in passages:
                text = passage.text.encode(errors="replace").decode()
                made = connection.execute(
                    "INSERT INTO passages (file, start, stop, text) VALUES (?, ?, ?, ?)",
                    (number, passage.start, passage.end, text),
                ).lastrowid
                connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (made, text))
                numbers.append(made)
            mine = np.array([numbers[owner] for owner in owners], "<i8")
            connection.execute("UPDATE files SET owners = ? WHERE number = ?", (mine.tobytes(), number))
            matrix.append(self._matrix(connection), first, rows)
            connection.execute(
                "UPDATE state SET dimensions = ?, rows = rows + ?, version = version + 1",
                (rows.shape[1], len(rows)),
            )
            self._tidy(connection)
        return rows.nbytes + sum(len(passage.text.encode(errors="replace")) for passage in passages)

    def describe(self, file: IndexedFile) -> None:
        with self._database.write() as connection:
            connection.execute(
                "UPDATE files SET name = ?, attributes = ? WHERE id = ?", (file.name, _encoded(file), file.id)
            )
            connection.execute("UPDATE state SET version = version + 1")

    def remove(self, id: str) -> None:
        with self._database.write() as connection:
            self._remove(connection, id)
            self._tidy(connection)

    def passages(self, id: str) -> list[Passage]:
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT start, stop, text FROM passages WHERE file = (SELECT number FROM files WHERE id = ?) "
                "ORDER BY number",
                (id,),
            ).fetchall()
        return [Passage(*row) for row in rows]

    def nearest(self, vector: bytes, limit: int, filter: Filter | None) -> list[Hit]:
        view = self._view()
        if not len(view.rows):
            return []
        query = self._unit(vector, view.rows.shape[1])[0]
        scores = np.asarray(view.rows @ query)
        here = view.owners >= 0
        if filter is not None:
            here &= self._passing(view, filter)[view.owners]
        scores[~here] = -np.inf
        best = _best(scores, view.passages, limit)
        return self._hits(view, best)

    def matching(self, text: str, limit: int, filter: Filter | None) -> list[Hit]:
        view = self._view()
        statement = "SELECT rowid, rank FROM words WHERE words MATCH ?"
        values: list[Any] = []
        if filter is not None:
            passing = self._passing(view, filter)
            chosen = [number for number, good in zip(view.numbers, passing, strict=False) if good]
            statement += (
                " AND +rowid IN (SELECT number FROM passages WHERE file IN (SELECT value FROM json_each(?)))"
            )
            values.append(msgspec.json.encode(chosen).decode())
        with self._database.read() as connection:
            if (wanted := expression(connection, text, self._common)) is None:
                return []
            rows = connection.execute(f"{statement} ORDER BY rank LIMIT ?", (wanted, *values, limit)).fetchall()
        return self._hits(view, [(number, -rank) for number, rank in rows])

    def _hits(self, view: _View, found: list[tuple[int, float]]) -> list[Hit]:
        """Without those that were removed meanwhile."""
        files = dict(zip(view.numbers, view.files, strict=True))
        hits = []
        with self._database.read() as connection:
            for number, score in found:
                row = connection.execute(
                    "SELECT file, start, stop, text FROM passages WHERE number = ?", (number,)
                ).fetchone()
                if row is not None and row[0] in files:
                    hits.append(Hit(files[row[0]], number, Passage(*row[1:]), float(score)))
        return hits

    def _view(self) -> _View:
        with self._viewing, self._database.read() as connection:
            version = connection.execute("SELECT version FROM state").fetchone()[0]
            if self._kept is None or self._kept.version != version:
                connection.execute("BEGIN")
                try:
                    before, self._kept = self._kept, self._seen(connection)
                    if before and len(before.files) > len(self._kept.files):
                        self._common.clear()
                finally:
                    connection.execute("COMMIT")
            return self._kept

    def _seen(self, connection: sqlite3.Connection) -> _View:
        dimensions, _, count, _, version = self._state(connection)
        passages, owners = np.zeros(count, np.int64), np.full(count, -1, np.int32)
        files: list[IndexedFile] = []
        numbers: list[int] = []
        for number, id, name, attributes, first, rows, mine in connection.execute("SELECT * FROM files"):
            passages[first : first + rows] = np.frombuffer(mine, "<i8")
            owners[first : first + rows] = len(files)
            files.append(IndexedFile(id, name, msgspec.json.decode(attributes)))
            numbers.append(number)
        rows_of = matrix.mapped(self._matrix(connection), count, dimensions)
        return _View(version, rows_of, passages, owners, files, numbers)

    def _passing(self, view: _View, filter: Filter) -> npt.NDArray[np.bool_]:
        """Per file; one more stands for those that are none."""
        return np.array([*(passes(filter, file.attributes) for file in view.files), False])

    def _fitting(self, connection: sqlite3.Connection, vectors: bytes, owners: Sequence[int]) -> matrix.Floats:
        dimensions = self._state(connection)[0]
        if not owners or len(vectors) % (matrix.WIDTH * len(owners)):
            raise wrong_size(len(vectors), dimensions)
        here = len(vectors) // (matrix.WIDTH * len(owners))
        if dimensions and here != dimensions:
            raise wrong_size(here * matrix.WIDTH, dimensions)
        return self._unit(vectors, here)

    def _unit(self, vectors: bytes, dimensions: int) -> matrix.Floats:
        if not vectors or len(vectors) % (matrix.WIDTH * dimensions):
            raise wrong_size(len(vectors), dimensions)
        try:
            return matrix.unit(vectors, dimensions)
        except ValueError as error:
            raise bad_vector(str(error)) from None

    def _remove(self, connection: sqlite3.Connection, id: str) -> None:
        row = connection.execute("SELECT number, rows FROM files WHERE id = ?", (id,)).fetchone()
        if row is None:
            return
        number, rows = row
        connection.execute(
            "INSERT INTO words (words, rowid, text) SELECT 'delete', number, text FROM passages WHERE file = ?",
            (number,),
        )
        connection.execute("DELETE FROM passages WHERE file = ?", (number,))
        connection.execute("DELETE FROM files WHERE number = ?", (number,))
        connection.execute("UPDATE state SET dead = dead + ?, version = version + 1", (rows,))

    def _tidy(self, connection: sqlite3.Connection) -> None:
        """Writes the matrix anew where most of it belongs to nothing, and removes those before the last."""
        dimensions, generation, rows, dead, _ = self._state(connection)
        for old in range(generation - 1, max(generation - 3, -1), -1):
            with suppress(FileNotFoundError):
                self._file(old).unlink()
        if dead < SPARE_ROWS or dead * 2 < rows:
            return
        there = connection.execute("SELECT number, first, rows FROM files ORDER BY first").fetchall()
        target = self._file(generation + 1)
        matrix.compacted(self._file(generation), target, rows, dimensions, [row[1:] for row in there])
        at = 0
        for number, _, count in there:
            connection.execute("UPDATE files SET first = ? WHERE number = ?", (at, number))
            at += count
        connection.execute(
            "UPDATE state SET matrix = matrix + 1, rows = ?, dead = 0, version = version + 1", (at,)
        )

    def _state(self, connection: sqlite3.Connection) -> tuple[int, int, int, int, int]:
        """Dimensions, the matrix's number, its rows, those of them that belong to nothing, and the version."""
        row: tuple[int, int, int, int, int] = connection.execute(
            "SELECT dimensions, matrix, rows, dead, version FROM state"
        ).fetchone()
        return row

    def _matrix(self, connection: sqlite3.Connection) -> Path:
        return self._file(self._state(connection)[1])

    def _file(self, generation: int) -> Path:
        return self._place / f"rows-{generation}.f32"


def _best(
    scores: npt.NDArray[np.float32], passages: npt.NDArray[np.int64], limit: int
) -> list[tuple[int, float]]:
    """The best `limit` passages, each with the score of its best row."""
    wanted = limit
    while True:
        wanted = min(wanted * 4, len(scores))
        rows = np.argpartition(scores, len(scores) - wanted)[len(scores) - wanted :]
        best: dict[int, float] = {}
        for row in rows[np.argsort(-scores[rows], kind="stable")]:
            if np.isneginf(scores[row]):
                return list(best.items())[:limit]
            best.setdefault(int(passages[row]), float(scores[row]))
        if len(best) >= limit or wanted == len(scores):
            return list(best.items())[:limit]


def _encoded(file: IndexedFile) -> str:
    return msgspec.json.encode(file.attributes).decode()
