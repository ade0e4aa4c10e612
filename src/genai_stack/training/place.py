"""Where a run lives: a directory, and for `s3://bucket/prefix` also the prefix its files are copied to.

A run on a machine that may go away works in a scratch directory. What must outlast the machine is put under the
prefix: events and metrics as they grow, checkpoints as they are committed, and the result with its manifest last.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import settings
from ..errors import GenAIStackError, ObjectNotFound
from ..ports import ObjectStore
from ..spec_file import SPEC_BYTES
from . import ranks
from .spec import TrainingSpec, load, read

GROWING = ("events.jsonl", "metrics.jsonl")
MIRROR_SECONDS = 10.0
"""How far what is told under the prefix may lag behind."""
CHUNK = 1 << 20


class Place:
    """`path` is the directory. With a `store`, keys are `prefix` and a path relative to `path`."""

    def __init__(self, path: Path, store: ObjectStore | None = None, prefix: str = "") -> None:
        self.path, self.store = path, store
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""

    def holds(self, name: str) -> bool:
        """Whether the file is there: in the directory, or with a store under the prefix, from where it is fetched."""
        return (self.path / name).exists() if self.store is None else self.fetch(name)

    def is_new(self) -> bool:
        """Whether nothing is under the prefix yet."""
        return self.store is not None and not self.store.list(self._prefix, limit=1)

    def put(self, name: str) -> None:
        """Copies one file of the directory to the prefix; nothing happens without a store."""
        if self.store is not None:
            with (self.path / name).open("rb") as stream:
                self.store.put(self._prefix + name, iter(lambda: stream.read(CHUNK), b""))

    def fetch(self, name: str, target: Path | None = None) -> bool:
        """Copies one file from the prefix into the directory, or to `target`; False when it isn't there."""
        if self.store is None:
            return False
        try:
            chunks = self.store.read(self._prefix + name)
            target = target or self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
            with partial.open("wb") as out:
                out.writelines(chunks)
        except ObjectNotFound:
            return False
        partial.replace(target)
        return True

    def names(self, folder: str) -> list[str]:
        """The files under `folder` at the prefix, relative to it."""
        if self.store is None:
            return []
        start, found, after = f"{self._prefix}{folder}/", [], None
        while page := self.store.list(start, after=after):
            found += [info.key.removeprefix(start) for info in page]
            after = page[-1].key
        return found

    def forget(self, name: str) -> None:
        """Removes one file from the prefix."""
        if self.store is not None:
            self.store.delete(self._prefix + name)


def open_place(output: str) -> Place:
    """The place a spec's `output` names. Raises InvalidSpec or what the store raises."""
    if "://" not in output:
        return Place(Path(output))
    from .. import wiring

    store, prefix = wiring.object_store(output)
    scratch = hashlib.sha256(output.encode()).hexdigest()[:16]
    return Place(settings.home() / "runs" / scratch, store, prefix)


def read_spec(where: str) -> TrainingSpec:
    """The spec in a file, or in an object at `s3://bucket/key`. Raises InvalidSpec or what the store raises."""
    if "://" not in where:
        return load(Path(where))
    from .. import wiring

    store, key = wiring.object_store(where)
    return read(b"".join(store.read(key, 0, SPEC_BYTES + 1)), where)


@contextmanager
def mirrored(place: Place, every: float = MIRROR_SECONDS) -> Iterator[None]:
    """Fetches what an earlier attempt told, and copies what this one tells while entered, and at the end. Of several
    processes the first one does, as it alone tells."""
    if place.store is None or not ranks.is_first():
        yield
        return
    if place.is_new():
        shutil.rmtree(place.path, ignore_errors=True)  # of a run whose prefix was emptied since
        place.path.mkdir(mode=0o700, parents=True)
    for name in GROWING:
        if not (place.path / name).exists():
            place.fetch(name)
    ended = threading.Event()
    thread = threading.Thread(target=_mirror, args=(place, every, ended), name="mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _mirror(place: Place, every: float, ended: threading.Event) -> None:
    """A failed copy is tried again at the next turn: what is told late is better than a run that ends for it."""
    sizes: dict[str, int] = {}
    while True:
        last = ended.wait(every)
        for name in GROWING:
            path = place.path / name
            size = path.stat().st_size if path.exists() else 0
            if size != sizes.get(name, 0):
                with suppress(GenAIStackError, OSError):
                    place.put(name)
                    sizes[name] = size
        if last:
            return
