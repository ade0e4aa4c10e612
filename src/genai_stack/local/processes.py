"""Ending a job's processes, all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

UNKILLABLE = 5.0
"""Seconds after SIGKILL when the kernel is no longer waited for."""


def terminate(leader: int, grace: float) -> None:
    """Ends the session that `leader` leads and every descendant of it: SIGTERM, and SIGKILL after `grace` seconds.
    Returns when none is left; a leader that has died already is no obstacle."""
    start = time.monotonic()
    seen: set[int] = set()
    while alive := family(leader, seen):
        waited = time.monotonic() - start
        if waited > grace + UNKILLABLE:
            return
        for pid in alive if waited >= grace else alive - seen:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if waited >= grace else signal.SIGTERM)
        seen |= alive
        time.sleep(0.02)


def family(leader: int, seen: set[int]) -> set[int]:
    """The living processes of `leader`'s session and group, those of `seen`, and the descendants of any of them:
    a child that made a session of its own (torchrun's do) stays in the family through its parent."""
    members: set[int] = set()
    rest = list(_processes())
    grown = True
    while grown:
        grown = False
        for process in rest:
            pid, parent, group, session = process
            if pid not in members and (
                leader in (pid, group, session) or pid in seen or parent in members or parent in seen
            ):
                members.add(pid)
                grown = True
    return members


def _processes() -> Iterator[tuple[int, int, int, int]]:
    """(pid, parent, group, session) of every process but zombies."""
    if not Path("/proc/self/stat").exists():
        yield from _listed()
        return
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                state, parent, group, session = (
                    Path("/proc", name, "stat").read_text(errors="replace").rpartition(")")[2].split()[:4]
                )
                if state not in "ZX":
                    yield int(name), int(parent), int(group), int(session)


def _listed() -> Iterator[tuple[int, int, int, int]]:
    """The same from ps, where there is no /proc; a session counts as its group there."""
    table = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, text=True, check=True
    )
    for line in table.stdout.splitlines():
        pid, parent, group, state = line.split()
        if not state.startswith("Z"):
            yield int(pid), int(parent), int(group), int(group)
