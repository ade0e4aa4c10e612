"""An adapter as SageMaker takes it: one .tar.gz beside the files, the same bytes for the same files."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator, Mapping

from genai_stack.errors import InvalidModel, ObjectNotFound
from genai_stack.ports import ObjectInfo, ObjectStore
from genai_stack.sources import WEIGHTS
from genai_stack.sources.directories import TEXTS
from genai_stack.sources.store import locate, under

NEEDED = ("adapter_config.json", "adapter_model.safetensors")
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
    store, prefix = locate(source)
    key = f"{prefix}.tar.gz"
    try:
        store.head(key)
        return address(source)
    except ObjectNotFound:
        pass
    files = {name: info for name, info in under(store, prefix, prefix).items() if _is_loaded(name)}
    if missing := [name for name in NEEDED if name not in files]:
        raise InvalidModel(f"{source} holds no {' and no '.join(missing)}; give the prefix of a LoRA adapter")
    store.put(key, _archive(store, files))
    return address(source)


def _is_loaded(name: str) -> bool:
    return "/" not in name and name.endswith((*WEIGHTS, *TEXTS))


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
