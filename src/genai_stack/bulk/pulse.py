"""A program's heartbeat: what is finished becomes durable, is told, and reaches the store, while the work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ..errors import GenAIStackError
from .places import Place

BEAT_SECONDS = 1.0
PUSH_BEATS = 15


class Pulse:
    """Calls `beat` each second and once at the end, and pushes every 15 s. What fails is tried
    again by the next; the program's own at its end are the ones that count."""

    def __init__(self, beat: Callable[[], None], place: Place) -> None:
        self._beat, self._place = beat, place
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._beat()

    def _run(self) -> None:
        beats = 0
        while not self._ended.wait(BEAT_SECONDS):
            beats += 1
            with suppress(GenAIStackError, OSError):
                self._beat()
                if beats % PUSH_BEATS == 0:
                    self._place.push()
