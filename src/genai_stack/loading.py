"""Loading large libraries at a program's start."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """While entered, Python's collector rests. What a module makes as it loads stays for good; looking through it over
    and over for garbage takes a sixth of the time that torch and transformers need."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
