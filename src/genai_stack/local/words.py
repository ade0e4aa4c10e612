"""What is asked of FTS5 for a text: the telling ones of its words, but for those that are in too many passages: FTS5
reads every passage that has any of the words."""

from __future__ import annotations

import sqlite3

from genai_stack.words import plain, telling

MOST_WORDS = 64
READ = 4000
"""Passages that may be read for a search, counted per word."""


def expression(connection: sqlite3.Connection, text: str, common: set[str]) -> str | None:
    """An FTS5 query that any word of `text` fulfils, the rarest within READ; None where none is worth asking. `common`
    are words known to be in more passages than that, and gets those that are found out: counting them takes long."""
    counted = {
        word: _passages_with(connection, word) for word in telling(text)[:MOST_WORDS] if word not in common
    }
    chosen: list[str] = []
    read = 0
    for word, count in sorted(counted.items(), key=lambda pair: pair[1]):
        read += count
        if count > READ:
            common.add(word)
        elif count and read <= READ:
            chosen.append(f'"{word}"')
    return " OR ".join(chosen) or None


def _passages_with(connection: sqlite3.Connection, word: str) -> int:
    row = connection.execute("SELECT doc FROM vocabulary WHERE term = ?", (plain(word),)).fetchone()
    return int(row[0]) if row else 0
