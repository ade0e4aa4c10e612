"""Words of a text as an index and a question have them, whatever counts them: SQLite's FTS5 or S3 Vectors.

Words that most passages have weigh next to nothing in BM25, and in a small store chance decides which passage has the
only "the": English function words aren't asked for, unless there are no others."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")
_FUNCTION = frozenset(
    "a about all am an and any are as at be been but by can could did do does for from had has have how i if in into "
    "is it its may me my no not of on one or our should so such than that the their them then there these they this to "
    "was we were what when where which who whose why will with would you your".split()
)


def words(text: str) -> list[str]:
    """All of them in their order, case folded."""
    return _WORD.findall(text.casefold().replace("_", " "))


def telling(text: str) -> list[str]:
    """Those worth asking for, each once."""
    found = list(dict.fromkeys(words(text)))
    return [word for word in found if word not in _FUNCTION] or found


def plain(text: str) -> str:
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
