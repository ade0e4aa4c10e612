"""An adapter as SageMaker takes it: one .tar.gz beside the files, the same bytes for the same files."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping

from genai_stack.errors import InvalidModel, ObjectNotFound
from genai_stack.ports import ObjectInfo, ObjectStore

from .objects import S3Objects

NEEDED = ("adapter_config.json", "adapter_model.safetensors")
LOADED = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""What of a model's files is loaded: weights, settings, tokenizer (as `sources` has it, which no function carries)."""
BLOCK = 512
"""Bytes; what a tar archive is made of."""


def address(source: str) -> str:
    """Where the archive of the adapter at `source` is."""
    return f"{source.rstrip('/')}.tar.gz"


def packed(source: str) -> str:
    """The s3:// address of the archive of the adapter at `s3://bucket/prefix`; made where there is none, without a disk
    in between. Raises InvalidModel."""
    if not source.startswith("s3://"):
        raise InvalidModel(f"{source}: SageMaker loads adapters from S3; import it first")
    bucket, _, prefix = source.removeprefix("s3://").rstrip("/").partition("/")
    store, key = S3Objects(bucket), f"{prefix}.tar.gz"
    try:
        store.head(key)
        return address(source)
    except ObjectNotFound:
        pass
    files = _loaded(store, f"{prefix}/")
    if missing := [name for name in NEEDED if name not in files]:
        raise InvalidModel(f"{source} holds no {' and no '.join(missing)}; give the prefix of a LoRA adapter")
    store.put(key, _archive(store, files))
    return address(source)


def _loaded(store: ObjectStore, prefix: str) -> dict[str, ObjectInfo]:
    """By name: what is directly under the prefix and would be loaded."""
    found: dict[str, ObjectInfo] = {}
    after: str | None = None
    while page := store.list(prefix, after=after):
        found |= {info.key.removeprefix(prefix): info for info in page}
        after = page[-1].key
    return {name: info for name, info in found.items() if "/" not in name and name.endswith(LOADED)}


def _archive(store: ObjectStore, files: Mapping[str, ObjectInfo]) -> Iterator[bytes]:
    gzip = zlib.compressobj(1, wbits=31)  # weights hardly get smaller
    for name, info in sorted(files.items()):
        header = tarfile.TarInfo(name)
        header.size, header.mode = info.bytes, 0o644
        yield gzip.compress(header.tobuf(tarfile.USTAR_FORMAT))
        for chunk in store.read(info.key):
            yield gzip.compress(chunk)
        yield gzip.compress(bytes(-info.bytes % BLOCK))
    yield gzip.compress(bytes(2 * BLOCK)) + gzip.flush()
