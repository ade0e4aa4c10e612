"""Ids like OpenAI's, in the order they were made: a cursor is an id, and what is new comes after all of them."""

from __future__ import annotations

import re
import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32, in the order of its characters' codes."""
_CLOCK, _CHANCE = 10, 14
_TAIL = re.compile(f"[{_ALPHABET}]{{{_CLOCK + _CHANCE}}}")


class _Clock:
    """Milliseconds since the epoch, no two the same from one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def tick(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1_000_000)
            return self._last


_clock = _Clock()


def new(prefix: str) -> str:
    """`prefix`, 10 characters of time, 14 of chance. Ids of one process sort as they were made; those of several as
    their clocks agree."""
    now = _clock.tick()
    clock = "".join(_ALPHABET[now >> 5 * place & 31] for place in reversed(range(_CLOCK)))
    return prefix + clock + "".join(secrets.choice(_ALPHABET) for _ in range(_CHANCE))


def valid(prefix: str, id: str) -> bool:
    return id.startswith(prefix) and _TAIL.fullmatch(id, len(prefix)) is not None
