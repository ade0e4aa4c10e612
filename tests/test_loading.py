"""Large libraries are loaded while the collector rests, and left alone after."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc
from genai_stack.loading import uncollected
{before}
with uncollected():
    assert not gc.isenabled()
    {loads}
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""


@pytest.mark.parametrize(
    ("before", "loads", "said"),
    [("", "import decimal", "True True"), ("", "pass", "True False"), ("gc.disable()", "pass", "False False")],
)
def test_what_was_loaded_is_set_aside(before: str, loads: str, said: str) -> None:
    """In a process of its own: nothing takes it back."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(before=before, loads=loads)], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"{said}\n", "")
