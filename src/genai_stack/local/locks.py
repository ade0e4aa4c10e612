"""Locks that die with their holder: flock on a file, so that a kill -9 leaves nothing to clean up."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

PATIENCE = 0.3
"""Seconds to keep trying. A probe (`held`) holds a lock for microseconds, and mustn't look like an owner."""


class FileLock:
    """An exclusive lock, held until `release` or until every process that inherited `fd` has ended.

    Not reentrant: a second FileLock on the same file is refused, in the same process too.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def release(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


def acquire(path: Path, patience: float = PATIENCE) -> FileLock | None:
    """The lock on `path` (made 0600, never removed), or None when another holds it for `patience` seconds."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return FileLock(fd)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(0.01)


def held(path: Path) -> bool:
    """Whether anyone holds the lock on `path` at this moment."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
