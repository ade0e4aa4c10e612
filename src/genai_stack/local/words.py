"""What is asked of FTS5 for a text: its words, the telling ones of them.

FTS5 reads every passage that has any of the words, so that words which most passages have would make up most of a
search; they also weigh next to nothing in BM25. In a small store chance decides which passage has the only "the":
English function words aren't asked for, unless there are no others."""

from __future__ import annotations

import re
import sqlite3
import unicodedata

MOST_WORDS = 64
READ = 4000
"""Passages that may be read for a search, counted per word."""
_WORD = re.compile(r"\w+")
_FUNCTION = frozenset(
    "a about all am an and any are as at be been but by can could did do does for from had has have how i if in into "
    "is it its may me my no not of on one or our should so such than that the their them then there these they this to "
    "was we were what when where which who whose why will with would you your".split()
)


def expression(connection: sqlite3.Connection, text: str, common: set[str]) -> str | None:
    """An FTS5 query that any word of `text` fulfils, the rarest within READ; None where none is worth asking. `common`
    are words known to be in more passages than that, and gets those that are found out: counting them takes long."""
    words = list(dict.fromkeys(_WORD.findall(text.casefold().replace("_", " "))))
    telling = [word for word in words if word not in _FUNCTION] or words
    counted = {word: _passages_with(connection, word) for word in telling[:MOST_WORDS] if word not in common}
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
    plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    row = connection.execute("SELECT doc FROM vocabulary WHERE term = ?", (plain,)).fetchone()
    return int(row[0]) if row else 0
