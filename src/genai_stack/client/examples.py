"""Training data on its way to a job: checked, and kept where it stays what it was."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import GenAIStackError, InvalidData

Data = str | Path | Iterable[Mapping[str, Any]]


class Kept(msgspec.Struct, frozen=True):
    """`path` (or an s3:// address) is named after the SHA-256 of the file's content, so what is under it never changes.
    `examples` is None where nobody has counted them."""

    path: Path | str
    sha256: str
    examples: int | None


def keep(data: Data, directory: Path) -> Kept:
    """A checked copy of `data` (a JSONL file, or examples as mappings) in `directory`, durable once this returns.
    Raises InvalidData with the lines that can't be learned from."""
    from ..training.examples import read

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = directory / f".{secrets.token_hex(8)}.jsonl"
    try:
        digest = _write(partial, _lines(data))
        try:
            count = sum(1 for _ in read(partial))
        except InvalidData as error:
            where = str(data) if isinstance(data, str | Path) else "examples"
            raise InvalidData(error.message.replace(str(partial), where)) from None
        path = directory / f"{digest}.jsonl"
        partial.replace(path)
        return Kept(path, digest, count)
    except OSError as error:
        raise GenAIStackError(f"can't keep training data in {directory}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _lines(data: Data) -> Iterator[bytes]:
    if not isinstance(data, str | Path):
        yield from (msgspec.json.encode(example) + b"\n" for example in data)
        return
    try:
        file = Path(data).expanduser().open("rb")
    except OSError as error:
        raise InvalidData(f"{data}: {error.strerror}; give the path of a JSONL file") from None
    with file:
        yield from file


def _write(path: Path, lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    with path.open("xb") as out:
        for line in lines:
            digest.update(line)
            out.write(line)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
