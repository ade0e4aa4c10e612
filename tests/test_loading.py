"""When Python's collector looks, and at what."""

from __future__ import annotations

import gc
import subprocess
import sys

from genai_stack.loading import uncollected


def test_loading_is_not_looked_through() -> None:
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_server_s_own_objects_are_left_alone_and_later_ones_are_not() -> None:
    program = """
import gc, weakref
from genai_stack.loading import settled

class Link: ...

def circle():
    link = Link()
    link.itself = link
    return weakref.ref(link)

loaded = circle()
settled()
frozen, later = gc.get_freeze_count(), circle()
gc.collect()
print(frozen > 1000, loaded() is not None, later() is None, gc.isenabled(), gc.get_threshold()[0])
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "True", "True", "True", "10000"]
