"""Files from an object store, kept under the home directory by what they hold.

A set of objects becomes one directory, named after their names and digests; so a changed object is another directory,
and one that is there is whole. It is filled under a lock beside its final place, each file checked against its digest
before it takes its name, and renamed at the end: whoever is killed leaves bytes that the next one goes on from.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path
from typing import Any

from .. import settings
from ..errors import GenAIStackError, ObjectNotFound, RequestError
from ..ports import ObjectInfo, ObjectStore

ATTEMPTS = 5
"""Times in a row that a download may break off without a new byte."""
PAUSE = 0.5
"""Seconds before the second of them; each pause is twice the one before."""
_PAGE = 1000


class _DiskError(OSError):
    """The disk's own, as against a connection's."""


def locate(uri: str) -> tuple[ObjectStore, str]:
    """The store of `s3://bucket/key`, and the key without slashes at its ends. Raises RequestError."""
    from ..wiring import object_store

    store, key = object_store(uri)
    return store, key.strip("/")


def one(store: ObjectStore, key: str) -> dict[str, ObjectInfo]:
    """The object of that key under its last name, or nothing."""
    try:
        return {key.rpartition("/")[2]: store.head(key)} if key else {}
    except ObjectNotFound:
        return {}


def under(store: ObjectStore, prefix: str, folder: str) -> dict[str, ObjectInfo]:
    """Objects by their keys within `folder`: all of it when `prefix` is the folder, else those that begin with
    `prefix`."""
    start = f"{folder}/" if folder else ""
    listed, after = start if prefix == folder else prefix, None
    found: dict[str, ObjectInfo] = {}
    while page := store.list(listed, after=after, limit=_PAGE):
        found |= {info.key.removeprefix(start): info for info in page}
        after = page[-1].key
    return found


def fetch(store: ObjectStore, objects: Mapping[str, ObjectInfo]) -> Path:
    """A directory that holds `objects` by file name, and nothing else. Safe in any number of processes at once.

    Raises RequestError for a name that is no plain file name, ObjectNotFound, and GenAIStackError when the store
    breaks off again and again, sends other bytes than it promised, or the disk is full.
    """
    for name in objects:
        _check_name(name)
    listing = sorted((name, info.sha256, info.bytes) for name, info in objects.items())
    identity = hashlib.sha256(json.dumps(listing).encode()).hexdigest()[:40]
    root = settings.home() / "cache" / "objects"
    place, incoming = root / identity, root / f"{identity}.incoming"
    try:
        if _whole(place, objects):
            return place
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(root / f"{identity}.lock"):
            if _whole(place, objects):
                return place
            shutil.rmtree(place, ignore_errors=True)  # a file in it was lost or cut since
            incoming.mkdir(mode=0o700, exist_ok=True)
            for name, info in objects.items():
                _fetch(store, info, incoming / name)
            os.rename(incoming, place)
            _sync(root)
    except OSError as error:
        more = "free some space" if error.errno == errno.ENOSPC else "look at that directory"
        raise GenAIStackError(f"can't keep what is fetched in {root}: {error.strerror}; {more}") from error
    return place


def _check_name(name: str) -> None:
    if "/" in name or "\0" in name or "\\" in name or name.startswith(".") or not 0 < len(name.encode()) < 256:
        raise RequestError(f"an object named {name[:80]!r} can't be a file here; give it a plain name")


def _whole(place: Path, objects: Mapping[str, ObjectInfo]) -> bool:
    try:
        return (
            all((place / name).stat().st_size == info.bytes for name, info in objects.items())
            and place.is_dir()
        )
    except FileNotFoundError:
        return False


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Waits until no other process is in here; the lock dies with its holder."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _fetch(store: ObjectStore, info: ObjectInfo, path: Path) -> None:
    """Puts the object at `path` once it is all there and its digest is right; goes on from what was there."""
    if path.exists():
        return
    partial = path.with_name(f".{info.sha256}")
    had, failures, fresh = -1, 0, not partial.exists()
    while True:
        digest, size = _digest(partial)
        failures, had = (0 if size > had else failures), size
        broken = None
        if size < info.bytes:
            try:
                size = _append(store, info, partial, digest, size)
            except (_DiskError, ObjectNotFound, RequestError):
                raise
            except Exception as error:  # a store breaks off in ways of its own
                broken = error
        if not broken and size == info.bytes and digest.hexdigest() == info.sha256:
            os.replace(partial, path)
            _sync(path.parent)
            return
        if not broken and size >= info.bytes:
            partial.unlink()
            if fresh:
                raise GenAIStackError(f"{info.key} isn't what its SHA-256 promises; put it there again")
            had, fresh = -1, True  # what an earlier run left was of no use
            continue
        failures += 1
        if failures == ATTEMPTS:
            why = str(broken) if broken else f"it ends after {size} of {info.bytes} bytes"
            raise GenAIStackError(f"{info.key} can't be fetched: {why}; run it again to go on") from broken
        time.sleep(PAUSE * 2 ** (failures - 1))


def _append(store: ObjectStore, info: ObjectInfo, partial: Path, digest: Any, size: int) -> int:
    """Adds what follows the first `size` bytes, and returns how many there are then."""
    with partial.open("ab", buffering=0) as out:
        for chunk in store.read(info.key, size, info.bytes):
            _write(out, chunk)
            digest.update(chunk)
            size += len(chunk)
        os.fsync(out.fileno())
    return size


def _write(out: RawIOBase, chunk: bytes) -> None:
    left = memoryview(chunk)
    try:
        while left:
            left = left[out.write(left) or 0 :]
    except OSError as error:
        raise _DiskError(error.errno, error.strerror) from error


def _digest(path: Path) -> tuple[Any, int]:
    path.touch(mode=0o600)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest, file.tell()


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
