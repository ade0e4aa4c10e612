"""The table of contents of a sharded checkpoint, before torch reads it.

torch.distributed.checkpoint keeps it as a pickle and opens it with `pickle.load` (`read_metadata` in filesystem.py),
which runs whatever the file says. Here it is read first, by a reader that knows only the names such a table is made of.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

NAME = ".metadata"
_METADATA = "torch.distributed.checkpoint.metadata"
_KNOWN = {
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("pathlib", "Path"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("collections", "OrderedDict"),
    *(
        (_METADATA, name)
        for name in (
            "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta",
            "TensorProperties", "TensorStorageMetadata", "_MEM_FORMAT_ENCODING",
        )
    ),
}  # fmt: skip


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        import torch

        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if not dtype and (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def fault(checkpoint: Path) -> str | None:
    """Why torch mustn't open a table of contents under `checkpoint`; None when all of them are harmless."""
    for path in sorted(checkpoint.rglob(NAME)):
        try:
            with path.open("rb") as file:
                _Reader(file).load()
        except Exception as error:  # a pickle can raise anything
            return f"{path.relative_to(checkpoint)}: {error}"
    return None
