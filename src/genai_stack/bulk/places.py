"""Where a program reads and writes: a directory, or a bucket's prefix with a directory that mirrors it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .. import settings
from ..errors import InvalidData, InvalidSpec, ObjectNotFound
from ..ports import ObjectStore
from ..spec_file import SPEC_BYTES
from .files import MANIFEST

CHUNK = 1 << 20
SCRATCH = ".work"


class Place:
    """`path` is the directory to write in. Names that begin with a dot don't go to the store."""

    def __init__(self, path: Path, store: ObjectStore | None = None, prefix: str = "") -> None:
        """With a store, `path` begins with what the store has under `prefix`."""
        self.path, self._store, self._prefix = path, store, prefix.rstrip("/") + "/" if prefix else ""
        self._known: dict[str, tuple[int, int]] = {}
        path.mkdir(parents=True, exist_ok=True)
        if store is not None:
            self._pull(store)

    def push(self) -> None:
        """Brings the store to what the directory holds; the manifest comes after everything else. Nothing happens
        where the directory is the place itself."""
        if self._store is None:
            return
        found = {name: _stamp(self.path / name) for name in self._names()}
        for name in sorted(found, key=lambda name: (name == MANIFEST, name)):
            if self._known.get(name) != found[name]:
                self._store.put(self._prefix + name, _content(self.path / name, found[name][0]))
                self._known[name] = found[name]
        for name in [name for name in self._known if name not in found]:
            self._store.delete(self._prefix + name)
            del self._known[name]

    @property
    def scratch(self) -> Path:
        """A directory for what is needed while the program runs, and no part of what it leaves."""
        path = self.path / SCRATCH
        path.mkdir(mode=0o700, exist_ok=True)
        return path

    def scratch_home(self) -> Path:
        """A home directory for a model server of the program's own. It shares the compiled models of the stack's."""
        home = self.scratch / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        compiled = settings.home() / "engine"
        compiled.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (home / "engine").exists():
            (home / "engine").symlink_to(compiled, target_is_directory=True)
        return home

    def remove_scratch(self) -> None:
        shutil.rmtree(self.path / SCRATCH, ignore_errors=True)

    def close(self) -> None:
        """Removes the directory where it only mirrored a store."""
        if self._store is not None:
            shutil.rmtree(self.path, ignore_errors=True)

    def _names(self) -> Iterator[str]:
        for path in self.path.rglob("*"):
            name = path.relative_to(self.path)
            if path.is_file() and not any(part.startswith(".") for part in name.parts):
                yield name.as_posix()

    def _pull(self, store: ObjectStore) -> None:
        after: str | None = None
        while page := store.list(self._prefix, after=after):
            for info in page:
                name = PurePosixPath(info.key.removeprefix(self._prefix))
                if name.is_absolute() or ".." in name.parts or not name.parts:
                    raise InvalidSpec(f"output: there is an object {info.key!r} in it; name another place")
                path = self.path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as out:
                    out.writelines(store.read(info.key))
                self._known[name.as_posix()] = _stamp(path)
            after = page[-1].key


def open_place(output: str) -> Place:
    """The place a spec's `output` names. Raises InvalidSpec, and what the store raises."""
    if not output.startswith("s3://"):
        return Place(Path(output).expanduser().absolute())
    store, prefix = object_store(output)
    return Place(Path(tempfile.mkdtemp(prefix="genai-stack-")), store, prefix)


def fetch(source: str, scratch: Path, *, at_most: int) -> Path:
    """The file `source` names, brought to `scratch` when it is an s3:// URI. Raises InvalidData."""
    if not source.startswith("s3://"):
        return Path(source).expanduser()
    store, key = object_store(source)
    try:
        if (size := store.head(key).bytes) > at_most:
            raise InvalidData(f"{source}: {size} bytes; at most {at_most} are taken")
        scratch.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as out:
            out.writelines(store.read(key))
    except ObjectNotFound as error:
        raise InvalidData(f"{source}: {error.message}") from None
    return scratch


def read_bytes(source: str) -> bytes:
    """A spec's bytes, from a path or an s3:// URI. Raises InvalidSpec."""
    if source.startswith("s3://"):
        store, key = object_store(source)
        try:
            return b"".join(store.read(key, 0, SPEC_BYTES + 1))
        except ObjectNotFound as error:
            raise InvalidSpec(f"{source}: {error.message}") from None
    try:
        with Path(source).expanduser().open("rb") as file:
            return file.read(SPEC_BYTES + 1)
    except OSError as error:
        raise InvalidSpec(f"{source}: {error.strerror}; give the path of a spec") from None


def object_store(uri: str) -> tuple[ObjectStore, str]:
    from .. import wiring

    return wiring.object_store(uri)


def _stamp(path: Path) -> tuple[int, int]:
    known = path.stat()
    return known.st_size, known.st_mtime_ns


def _content(path: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes: what a file grows by meanwhile belongs to the next push."""
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(CHUNK, size))):
            size -= len(chunk)
            yield chunk
