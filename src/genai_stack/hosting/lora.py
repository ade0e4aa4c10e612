"""A LoRA adapter in PEFT's layout, merged into the weights it was trained on.

The engine ignores per-request adapters, so an adapter is a model of its own: W + scale · B·A for each target.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..errors import InvalidModel
from .weights import FloatArray, Weights, open_weights

_PAIR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")
_HARMLESS = frozenset(
    (
        "auto_mapping base_model_name_or_path inference_mode init_lora_weights exclude_modules layers_pattern "
        "layers_to_transform lora_alpha lora_dropout peft_type peft_version r revision target_modules task_type "
        "use_rslora runtime_config ensure_weight_tying megatron_core qalora_group_size"
    ).split()
)
"""Settings that are read here, or that say nothing about the merged weights."""


class _Config(msgspec.Struct):
    r: int
    lora_alpha: float
    target_modules: list[str] | str
    peft_type: str = "LORA"
    use_rslora: bool = False
    bias: str = "none"
    init_lora_weights: Any = True


class Merged(Mapping[str, FloatArray]):
    """The base's tensors with the adapter's deltas added, computed when one is asked for."""

    def __init__(
        self, base: Weights, adapter: Weights, pairs: Mapping[str, tuple[str, str]], scale: float
    ) -> None:
        self._base, self._adapter, self._pairs, self._scale = base, adapter, pairs, scale

    def __getitem__(self, name: str) -> FloatArray:
        weight = self._base[name]
        pair = self._pairs.get(name)
        if pair is None:
            return weight
        down, up = self._adapter[pair[0]], self._adapter[pair[1]]
        return weight + (up @ down) * self._scale

    def __iter__(self) -> Iterator[str]:
        return iter(self._base)

    def __len__(self) -> int:
        return len(self._base)

    def __contains__(self, name: object) -> bool:
        return name in self._base


def merge(base: Weights, directory: Path) -> Merged:
    """`base` with the adapter in `directory` merged in. Raises InvalidModel, naming what can't be merged."""
    config = _read_config(directory / "adapter_config.json")
    adapter = open_weights(directory, stem="adapter_model")
    pairs: dict[str, dict[str, str]] = {}
    for name in adapter:
        match = _PAIR.fullmatch(name)
        if not match:
            raise InvalidModel(f"{directory}: tensor {name!r} isn't a linear layer's lora_A or lora_B")
        if not _is_target(match["module"], config.target_modules):
            raise InvalidModel(
                f"{directory}: {match['module']} isn't among the target_modules of adapter_config.json"
            )
        pairs.setdefault(match["module"] + ".weight", {})[match["side"]] = name
    if not pairs:
        raise InvalidModel(f"{directory}: the adapter holds no weights")
    merged: dict[str, tuple[str, str]] = {}
    for target, sides in pairs.items():
        if set(sides) != {"A", "B"}:
            raise InvalidModel(f"{directory}: {target} has only one of lora_A and lora_B")
        if target not in base:
            raise InvalidModel(
                f"{directory}: the base model has no {target}; the adapter belongs to another model"
            )
        rows, columns = base.shape(target)
        if adapter.shape(sides["A"]) != (config.r, columns) or adapter.shape(sides["B"]) != (rows, config.r):
            raise InvalidModel(
                f"{directory}: {target} is {rows}×{columns}; the adapter belongs to another model"
            )
        merged[target] = (sides["A"], sides["B"])
    return Merged(base, adapter, merged, config.lora_alpha / (config.r**0.5 if config.use_rslora else config.r))


def _read_config(file: Path) -> _Config:
    try:
        raw = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        config = msgspec.convert(raw, _Config)
    except OSError as error:
        raise InvalidModel(
            f"{file} can't be read; give a directory written by PEFT's save_pretrained"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidModel(f"{file}: {error}") from error
    if config.peft_type != "LORA":
        raise InvalidModel(f"{file}: peft_type {config.peft_type!r} isn't supported; only LORA is")
    if config.bias != "none":
        raise InvalidModel(f"{file}: bias={config.bias!r} isn't supported; train with bias='none'")
    if isinstance(config.init_lora_weights, str) and config.init_lora_weights not in ("gaussian", "orthogonal"):
        raise InvalidModel(
            f"{file}: init_lora_weights={config.init_lora_weights!r} changes the base and isn't supported"
        )
    if config.r < 1:
        raise InvalidModel(f"{file}: r is {config.r}; a rank is at least 1")
    for key, value in raw.items():
        if value and key not in _HARMLESS and key != "bias":
            raise InvalidModel(f"{file}: {key} isn't supported by the merge; train the adapter without it")
    return config


def _is_target(module: str, targets: list[str] | str) -> bool:
    if isinstance(targets, str):
        return targets == "all-linear" or re.fullmatch(targets, module) is not None
    return any(module == t or module.endswith("." + t) for t in targets)
