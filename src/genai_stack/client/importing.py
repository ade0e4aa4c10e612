"""A model's files brought to where a place serves them from: under the digest of what they are, a manifest last.

What would be loaded is brought and nothing else: safetensors, settings, tokenizer. It is looked over first, so a pickle
is refused before anything opens it. An import that breaks off goes on with the files that aren't there yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from .. import names
from ..errors import InvalidModel
from ..sources import WEIGHTS, pinned, resolve
from ..sources.directories import TEXTS
from .places import Place

MANIFEST = "manifest.json"
CHUNK = 1 << 20
Told = Callable[[int, int], None]
"""How many bytes are done, and of how many."""


class File(msgspec.Struct, frozen=True):
    name: str
    bytes: int
    sha256: str


class Imported(msgspec.Struct, frozen=True):
    """manifest.json. `origin` is the pinned source it came from, `digest` the SHA-256 over its files' digests and
    names, `source` where it is served from."""

    origin: str
    source: str
    digest: str
    files: tuple[File, ...]


def bring(source: str, place: Place, told: Told = lambda done, of: None) -> Imported:
    """Copies the model of `source` (hf://org/name[@revision], s3://bucket/prefix, a directory) to `place`. A revision
    that moves, as a branch, is taken as the commit it stands for now. Raises InvalidModel."""
    origin = pinned(source)
    if (directory := resolve(origin)).joinpath(MANIFEST).is_symlink():
        raise InvalidModel(f"{directory / MANIFEST} is a link; remove it from the model directory")
    paths = [p for p in sorted(directory.iterdir()) if p.is_file() and p.name.endswith((*WEIGHTS, *TEXTS))]
    files = [_measured(path) for path in paths if path.name != MANIFEST]
    digest = hashlib.sha256("".join(f"{f.sha256}  {f.name}\n" for f in files).encode()).hexdigest()
    prefix, whole, done = names.imported(digest), sum(file.bytes for file in files), 0
    made = Imported(origin, place.address(prefix), digest, tuple(files))
    for file in files:
        key = f"{prefix}/{file.name}"
        if not place.holds(key, file.sha256):
            place.store(key, _read(directory / file.name, file, partial(_further, told, done, whole)))
        done += file.bytes
        told(done, whole)
    text = msgspec.json.format(msgspec.json.encode(made), indent=2)
    if not place.holds(f"{prefix}/{MANIFEST}", hashlib.sha256(text).hexdigest()):
        place.store(f"{prefix}/{MANIFEST}", iter((text,)))
    return made


def _measured(path: Path) -> File:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
        return File(path.name, stream.tell(), found)


def _further(told: Told, before: int, whole: int, more: int) -> None:
    told(before + more, whole)


def _read(path: Path, file: File, sent: Callable[[int], None]) -> Iterator[bytes]:
    """Raises InvalidModel when the file isn't what it was measured to be: nothing half is kept then."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
            sent(size)
    if digest.hexdigest() != file.sha256:
        raise InvalidModel(f"{path} changed while it was read; import it again")
