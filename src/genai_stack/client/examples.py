"""Training data on its way to a job: checked, and kept where it stays what it was."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import GenAIStackError, InvalidData
from ..sources.data import data_files

Data = str | Path | Iterable[Mapping[str, Any]]


class Kept(msgspec.Struct, frozen=True):
    """`sha256` is of what is at `path` (a path, or an s3:// or hf:// address): of a file's content; of a directory's
    files' digests, one a line in name order; of an hf:// address itself, which names a commit. What was copied is named
    after it, and never changes. `examples` is None where nobody has counted them."""

    path: Path | str
    sha256: str
    examples: int | None


def keep(data: Data, directory: Path, method: str | None = None) -> Kept:
    """A checked copy of `data` in `directory`, durable once this returns.

    `data` is examples as mappings, or a file, a directory or a remote source of JSONL or Parquet (`sources.data`); of
    several files the copy is a directory. Raises InvalidData with the lines that can't be learned from, or when
    `method` learns from data of another kind.
    """
    from ..training.data import check

    partial = directory / f".{secrets.token_hex(8)}"
    try:
        partial.mkdir(mode=0o700, parents=True)
        digests = [_write(partial / name, parts) for name, parts in _files(data)]
        files = sorted(partial.iterdir())
        try:
            count = check(partial if len(files) > 1 else files[0], method)
        except InvalidData as error:
            raise InvalidData(_as_given(error.message, partial, data)) from None
        if len(files) == 1:
            path = directory / f"{digests[0]}{_suffix(files[0])}"
            files[0].replace(path)
            _sync(directory)
            return Kept(path, digests[0], count)
        digest = of_all(digests)
        if not (directory / digest).is_dir():
            _sync(partial)
            partial.replace(directory / digest)
            _sync(directory)
        return Kept(directory / digest, digest, count)
    except OSError as error:
        raise GenAIStackError(f"can't keep training data in {directory}: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def of_all(digests: Sequence[str]) -> str:
    """The digest of a directory, from those of its files in name order; that of its file where it has one."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def _suffix(file: Path) -> str:
    return ".parquet" if file.suffix == ".parquet" else ".jsonl"


def _as_given(message: str, copy: Path, data: Data) -> str:
    """`message` with the caller's own names in place of the copy's."""
    if not isinstance(data, str | Path):
        return message.replace(str(copy / "examples.jsonl"), "examples")
    for file in data_files(data):
        given = str(data) if file.name == Path(data).name else str(file)
        message = message.replace(str(copy / file.name), given)
    return message.replace(str(copy), str(data))


def _files(data: Data) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The name and the content of each file, in name order."""
    if not isinstance(data, str | Path):
        yield "examples.jsonl", (msgspec.json.encode(example) + b"\n" for example in data)
        return
    for file in data_files(data):
        yield file.name, _parts(file)


def _parts(file: Path) -> Iterator[bytes]:
    try:
        stream = file.open("rb")
    except OSError as error:
        raise InvalidData(f"{file}: {error.strerror}; give the path of a JSONL or Parquet file") from None
    with stream:
        while part := stream.read(1 << 20):
            yield part


def _write(path: Path, parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    with path.open("xb") as out:
        for part in parts:
            digest.update(part)
            out.write(part)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
