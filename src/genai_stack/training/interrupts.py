"""SIGTERM and SIGINT, turned into an orderly end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """The run was asked to stop, and did so in a state the same command can go on from."""


def stop_now() -> None:
    """What a signal means while there is nothing to keep yet."""
    raise Interrupted("interrupted outside training; the same command starts again")


@contextmanager
def on_signal(act: Callable[[], None]) -> Iterator[None]:
    """While entered, either signal calls `act` instead of what it did before. Does nothing off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        act()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
