"""A model directory, looked over before anything in it is opened: what would be loaded is data, whole, and in there.

Refused: pickles and archives that would be loaded, whatever they are called; links that lead elsewhere (but into the
blobs of the hub's own cache); settings that ask for code. Files that nothing loads, a *.py or a pickle beside
safetensors, are left alone.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InvalidModel
from .headers import read_header

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
STEMS = ("model", "adapter_model")
"""Names of the weights of a model and of an adapter, before `.safetensors`."""
TEXTS = (".json", ".jinja", ".txt", ".model")
SETTINGS_BYTES = 256 << 20
"""The largest text file that is loaded; a tokenizer.json of 250,000 entries takes 20 MB."""
_CODE = ("auto_map", "trust_remote_code", "custom_pipelines")
_KERNELS = ("attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation")


def check(directory: Path) -> Path:
    """`directory`, if it holds weights in safetensors and nothing that would be loaded is unsafe. Raises
    InvalidModel."""
    if not directory.is_dir():
        raise InvalidModel(
            f"no model at {directory}: give 'builtin', a model directory, s3://bucket/prefix or "
            "hf://org/name[@revision]"
        )
    try:
        names = _names(directory)
        for name in names:
            if name.endswith(TEXTS):
                _check_text(directory / name)
    except OSError as error:
        raise InvalidModel(f"{error.filename or directory}: {error.strerror}; make it readable") from None
    files = [file for stem in STEMS for file in weight_files(directory, stem)]
    if not files:
        raise _without_weights(directory, names)
    return directory


def weight_files(directory: Path, stem: str) -> list[Path]:
    """The checked files of `<stem>.safetensors`, or of the shards its index names; none when there is neither. Raises
    InvalidModel."""
    single, index = directory / f"{stem}.safetensors", directory / f"{stem}.safetensors.index.json"
    if not index.is_file():
        if not single.is_file():
            return []
        read_header(single)
        return [single]
    homes = _index(index)
    if single.is_file() and set(homes.values()) != {single.name}:
        raise InvalidModel(
            f"{directory} holds both {single.name} and {index.name}; remove the one that isn't meant"
        )
    tensors: dict[str, str] = {}
    for shard in sorted(set(homes.values())):
        if not (directory / shard).is_file():
            raise InvalidModel(
                f"{directory / shard} is missing, and {index.name} names it; fetch the model again"
            )
        for tensor in read_header(directory / shard):
            if tensor in tensors:
                raise InvalidModel(
                    f"tensor {tensor!r} stands in {tensors[tensor]} and {shard}; export the model again"
                )
            tensors[tensor] = shard
    for tensor, shard in homes.items():
        if tensors.get(tensor) != shard:
            raise InvalidModel(f"{index}: tensor {tensor[:80]!r} isn't in {shard}; export the model again")
    return [directory / shard for shard in sorted(set(homes.values()))]


def _index(index: Path) -> dict[str, str]:
    value = _object(index)
    homes = value.get("weight_map")
    if not isinstance(homes, dict) or not homes or not all(isinstance(home, str) for home in homes.values()):
        raise InvalidModel(f"{index}: has no weight_map; export the model again")
    for home in homes.values():
        if Path(home).name != home or "\\" in home or "\0" in home or not home.endswith(".safetensors"):
            raise InvalidModel(
                f"{index} names {home[:80]!r}; a shard is a .safetensors file in the same directory"
            )
    return homes


def _names(directory: Path) -> list[str]:
    """What is in there. A link that leads out of it is refused."""
    whole = directory.resolve()
    homes = [whole]
    if whole.parent.name == "snapshots":
        homes.append(whole.parent.parent / "blobs")
    names = []
    for entry in directory.iterdir():
        names.append(entry.name)
        if entry.is_symlink():
            target = entry.resolve()
            if not any(target.is_relative_to(home) for home in homes):
                raise InvalidModel(f"{entry} is a link out of the model directory; copy the file there instead")
    return names


def _check_text(file: Path) -> None:
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise InvalidModel(f"{file} isn't a regular file; remove it from the model directory")
    if found.st_size > SETTINGS_BYTES:
        raise InvalidModel(f"{file} is over {SETTINGS_BYTES} bytes; a model's settings are small")
    with file.open("rb") as stream:
        head = stream.read(4)
    if (head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")) or head == b"PK\3\4":
        raise InvalidModel(f"{file} is pickled, whatever its name, and unpickling runs code; get the real file")
    if file.name.endswith("config.json"):
        _refuse_code(file, _object(file))


def _object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes().decode())
    except OSError as error:
        raise InvalidModel(f"{file}: {error.strerror}; make it readable") from None
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"{file} isn't valid JSON: {str(error)[:200]}; fetch the model again") from None
    if not isinstance(value, dict):
        raise InvalidModel(f"{file} isn't a JSON object; fetch the model again")
    return value


def _refuse_code(file: Path, settings: dict[str, Any]) -> None:
    """Code of the repository's own is never run; a model that asks for it would be another one without it, so it is
    refused rather than opened half. A kernel from the hub (`org/name` as an attention implementation) is code too."""
    for key, value in _settings(settings):
        if key in _CODE and value:
            raise InvalidModel(
                f"{file} asks for code of its own ({key}), which is never run; take a model whose architecture "
                f"transformers has, or remove {key} from a copy"
            )
        if key in _KERNELS and any(mark in text for text in _texts(value) for mark in "/:@"):
            raise InvalidModel(
                f"{file} asks for a kernel from elsewhere ({key}), which is never run; remove {key} from a copy"
            )


def _settings(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key, at any depth: a model's parts have settings of their own."""
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for text in value.values() if isinstance(text, str))


def _without_weights(directory: Path, names: list[str]) -> InvalidModel:
    pickled = next((n for n in sorted(names) if n.endswith(PICKLES)), None)
    if pickled:
        return InvalidModel(
            f"{directory / pickled} is pickled, and unpickling runs code; convert the weights to safetensors first"
        )
    others = sorted(n for n in names if n.endswith(".safetensors"))
    if others:
        return InvalidModel(f"{directory} holds {others[0]}, and no model.safetensors; export the model again")
    return InvalidModel(f"no *.safetensors in {directory}; export the model as safetensors")
