"""What a serverless endpoint takes texts apart with: one archive, with the model's files and the program beside them.

The program is this repository's own, the very module of the model server; of packages it brings those that every
program in an AWS container brings. The same commit and model give the same bytes.
"""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zipfile
from pathlib import Path

from genai_stack import sources
from genai_stack.catalogue import ModelConfig
from genai_stack.errors import InvalidModel

from .bundles import CONTAINER, REQUIREMENTS, SOURCE, fetch_wheels, modules_of

ENTRY = "from genai_stack.hosting.anatomy.serverless import model_fn, transform_fn\n"
"""`code/inference.py`, which the container looks for."""
NOT_READ = ("openvino",)
"""Folders of a model that another engine reads."""
OVERHEAD = 1024
"""MB of the container's own, which loads PyTorch as it starts: an estimate."""


def bundle_anatomy(model: ModelConfig, into: Path) -> Path:
    """The archive, below `into`. Raises InvalidModel for a source that can't be used, or for weights that don't fit the
    memory."""
    directory = sources.resolve(model.source)
    weights = sum(file.stat().st_size for file in directory.glob("*.safetensors"))
    # Half as many bytes as float32 take, at the worst.
    need = OVERHEAD + 2 * weights / 1e6
    if need > model.serverless_memory:
        raise InvalidModel(
            f"{model.name} takes some {need:.0f} MB, weights as float32 and container, and has "
            f"{model.serverless_memory}; raise its memory in stack.toml, to 6144 at the most"
        )
    into.mkdir(parents=True, exist_ok=True)
    archive = into / "model.tar.gz"
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch)
        _program(code)
        # No name of the file and no time in the header of the archive.
        with (
            archive.open("wb") as raw,
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            _add(tar, directory, "model")
            _add(tar, code, "code")
    return archive


def _program(into: Path) -> None:
    (into / "inference.py").write_text(ENTRY, encoding="utf-8")
    for module in modules_of(into / "inference.py"):
        place = into / "genai_stack" / module.relative_to(SOURCE)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(module.read_bytes())
    for wheel in fetch_wheels(REQUIREMENTS / "container" / "all.txt", CONTAINER):
        with zipfile.ZipFile(wheel) as content:
            content.extractall(into)


def _add(tar: tarfile.TarFile, folder: Path, name: str) -> None:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if not path.is_file() or "__pycache__" in inside.parts or inside.parts[0] in NOT_READ:
            continue
        about = tarfile.TarInfo(f"{name}/{inside.as_posix()}")
        about.size, about.mode = path.stat().st_size, 0o644
        with path.open("rb") as content:
            tar.addfile(about, content)
