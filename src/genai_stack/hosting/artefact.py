"""The engine's form of a model: int8 or float32 graph, converted tokenizer, settings, in one directory.

A form is named by the SHA-256 of everything it is made from, so a stale one is never used and an equal one is made
once. It is built beside its final place and renamed, so a crash leaves no half of one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ..errors import InvalidModel
from .architecture import read_architecture
from .llama import Precision, build
from .lora import merge
from .weights import open_weights, weight_files

FORMAT = b"genai-stack engine form 1"
SHIPPED = "openvino"
"""The directory inside a model directory that `publish` fills."""
_SETTINGS = ("config.json", "generation_config.json")
_TOKENIZER = tuple(
    f"openvino_{part}.{kind}" for part in ("tokenizer", "detokenizer") for kind in ("xml", "bin")
)


class Manifest(msgspec.Struct, frozen=True):
    """manifest.json of a shipped form. `model` is None where only the tokenizer is shipped."""

    tokenizer: str
    model: str | None = None


class _Unconvertible(Exception):
    pass


def prepare(directory: Path, adapter: Path | None, precision: Precision, cache: Path) -> Path:
    """The directory the engine loads: shipped with the model when it is up to date, else from `cache`, else built
    into it. Raises InvalidModel."""
    digest = model_digest(directory, adapter, precision)
    shipped = directory / SHIPPED
    if adapter is None and _manifest(shipped).model == digest:
        return shipped
    place = cache / digest
    if not place.is_dir():
        with _building(place) as scratch:
            write_model(directory, adapter, precision, scratch)
            write_tokenizer(directory, scratch, cache)
    return place


def write_model(directory: Path, adapter: Path | None, precision: Precision, into: Path) -> None:
    """Builds the graph and writes it with the settings the engine reads."""
    import openvino as ov

    weights = open_weights(directory)
    graph = build(read_architecture(directory), merge(weights, adapter) if adapter else weights, precision)
    ov.save_model(graph, into / "openvino_model.xml", compress_to_fp16=False)
    for name in _SETTINGS:
        if (directory / name).is_file():
            shutil.copyfile(directory / name, into / name)


def write_tokenizer(directory: Path, into: Path, cache: Path) -> None:
    """Puts the engine's tokenizer, which grammars need, into `into`: shipped, cached or converted. When it can't be
    converted here, nothing is put, and the engine runs without grammars."""
    digest = tokenizer_digest(directory)
    shipped, place = directory / SHIPPED, cache / f"tokenizer-{digest}"
    if _manifest(shipped).tokenizer == digest:
        place = shipped
    elif not place.is_dir():
        with suppress(_Unconvertible), _building(place) as scratch:
            if not convert_tokenizer(directory, scratch):
                raise _Unconvertible
        if not place.is_dir():
            return
    for name in _TOKENIZER:
        shutil.copyfile(place / name, into / name)


def convert_tokenizer(directory: Path, into: Path) -> bool:
    """In a process of its own, since the conversion imports transformers. False when it fails."""
    command = [sys.executable, "-m", "genai_stack.hosting.convert", str(directory), str(into)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode:
        print(done.stderr.decode(errors="replace")[-2000:], file=sys.stderr)
    return done.returncode == 0


def model_digest(directory: Path, adapter: Path | None, precision: Precision) -> str:
    files = [directory / "config.json", directory / "generation_config.json", directory / "tokenizer.json"]
    files += weight_files(directory)
    if adapter:
        files += [adapter / "adapter_config.json", *weight_files(adapter, "adapter_model")]
    return _digest([FORMAT, precision.encode()], files)


def tokenizer_digest(directory: Path) -> str:
    return _digest([FORMAT], [directory / "tokenizer.json"])


def check_sha256(file: Path, expected: str) -> None:
    """Raises InvalidModel when the file isn't, byte for byte, the one this was made for."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise InvalidModel(f"{file} has the SHA-256 {found}, not {expected}; install the package again")


def _digest(salts: Iterable[bytes], files: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for salt in salts:
        whole.update(salt + b"\0")
    for file in files:
        if file.is_file():
            with file.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
        else:
            whole.update(b"absent")
    return whole.hexdigest()[:40]


def _manifest(shipped: Path) -> Manifest:
    try:
        return msgspec.json.decode((shipped / "manifest.json").read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return Manifest(tokenizer="")


@contextmanager
def _building(place: Path) -> Iterator[Path]:
    """A scratch directory that takes the name `place` when the block ends well; another process may be first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix="building-"))
    try:
        yield scratch
        try:
            os.rename(scratch, place)
        except OSError:
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
