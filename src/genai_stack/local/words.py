"""What is asked of FTS5 for a text: its words, the telling ones of them.

FTS5 reads every passage that has any of the words, so that words which most passages have would make up most of a
search; they also weigh next to nothing in BM25."""

from __future__ import annotations

import re
import sqlite3
import unicodedata

MOST_WORDS = 64
READ = 20_000
"""Passages that may be read for a search, counted per word."""
_WORD = re.compile(r"\w+")


def expression(connection: sqlite3.Connection, text: str, passages: int) -> str | None:
    """An FTS5 query that any word of `text` fulfils, the rarest within READ; None where none is worth asking."""
    words = list(dict.fromkeys(_WORD.findall(text.casefold().replace("_", " "))))[:MOST_WORDS]
    counted = sorted((_passages_with(connection, word), word) for word in words)
    chosen: list[str] = []
    read = 0
    for count, word in counted:
        read += count
        if count and (read <= READ or not chosen) and count <= max(READ, passages // 2):
            chosen.append(f'"{word}"')
    return " OR ".join(chosen) or None


def _passages_with(connection: sqlite3.Connection, word: str) -> int:
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    row = connection.execute("SELECT doc FROM vocabulary WHERE term = ?", (plain,)).fetchone()
    return int(row[0]) if row else 0
