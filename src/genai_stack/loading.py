"""Loading large libraries at a program's start."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """While entered, Python's collector rests. What a module makes as it loads stays for good; looking through it over
    and over for garbage takes a sixth of the time that torch and transformers need, and the collection at the program's
    end another fifth. So what was loaded is left out of all collections to come."""
    collecting, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()
        if collecting:
            gc.enable()
