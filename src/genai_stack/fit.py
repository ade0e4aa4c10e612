"""Whether a model fits on GPUs: its weights, one request's keys and values at the whole context, and what it works in.

An estimate from the parameters alone, since nothing is downloaded to make it. It says no only where vLLM would refuse
to start: the weights, or not one sequence of the context, fit into the share of the memory that vLLM takes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .machines import GPU_MEMORY, MACHINES, family

GIB = 1 << 30
SHARE = 0.9
"""Of a GPU's memory that vLLM takes (`--gpu-memory-utilization`, its default)."""
WORKSPACE = int(2.5 * GIB)
"""Activations, CUDA graphs and the context of each GPU."""
ADAPTER_SHARE = 0.04
"""A loaded adapter of the highest rank served, as a share of the weights."""

_KEYS_AND_VALUES: tuple[tuple[float, int], ...] = (
    (1.0, 112),  # Qwen3-0.6B: 28 layers x 8 heads x 128 x 2 x 2 bytes
    (15.0, 160),  # Qwen3-4B: 144; Qwen3-14B: 160
    (40.0, 256),  # Qwen3-32B
    (100.0, 320),  # Llama-3.3-70B
    (float("inf"), 512),
)
"""KiB that a token's keys and values take in 16 bits, for models of up to so many billion parameters."""
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)([bBmM])(?![A-Za-z0-9])")
_PRECISIONS = (
    (re.compile(r"(?i)(?<![a-z0-9])(awq|gptq|int4|w4a16|nvfp4|mxfp4|bnb-4bit|4bit)(?![a-z0-9])"), 0.5625),
    (re.compile(r"(?i)(?<![a-z0-9])(fp8|int8|w8a8|w8a16|8bit)(?![a-z0-9])"), 1.0),
)
"""Four bits come with scales."""


class Size(NamedTuple):
    """Parameters in billions, the bytes each takes, and the KiB of keys and values a token takes (0: none)."""

    billions: float
    bytes_each: float
    kib_per_token: float

    @property
    def weights(self) -> int:
        return int(self.billions * 1e9 * self.bytes_each)


def billions_in(source: str) -> float | None:
    """The parameters a model's name tells, in billions: 4.0 of `hf://Qwen/Qwen3-4B-Instruct`, all of a mixture's
    experts; None where it doesn't tell."""
    found = _SIZE.search(source.partition("@")[0].rstrip("/").rpartition("/")[2])
    return float(found[1]) / (1000 if found[2] in "mM" else 1) if found else None


def bytes_in(source: str) -> float:
    """The bytes of a parameter, as a model's name tells: 1 for FP8, about half a byte for 4 bits, else 2."""
    name = source.partition("@")[0].rstrip("/").rpartition("/")[2]
    return next((size for pattern, size in _PRECISIONS if pattern.search(name)), 2.0)


def keys_and_values(billions: float) -> int:
    """KiB of keys and values of a token, as models of that size have them."""
    return next(kib for limit, kib in _KEYS_AND_VALUES if billions <= limit)


def needed(size: Size, context: int, adapters: int, gpus: int) -> int:
    """Bytes on `gpus` GPUs together."""
    cache = int(context * size.kib_per_token * 1024)
    return int(size.weights * (1 + adapters * ADAPTER_SHARE)) + cache + gpus * WORKSPACE


def usable(instance: str, gpus: int) -> int:
    """Bytes of `gpus` of the machine's GPUs that a model may take."""
    return int(GPU_MEMORY[family(instance)] * (1 << 20) * SHARE) * gpus


def gpus_for(size: Size, context: int, adapters: int, instance: str) -> int | None:
    """The fewest of the machine's GPUs that hold a copy, a power of two as tensor parallelism wants; None when all of
    them don't."""
    gpus = 1
    while gpus <= MACHINES[instance].gpus:
        if needed(size, context, adapters, gpus) <= usable(instance, gpus):
            return gpus
        gpus *= 2
    return None


def longest(size: Size, adapters: int, instance: str, gpus: int) -> int:
    """The longest context, in steps of 1,024 tokens, that fits on `gpus` of the machine's GPUs; 0 or less when the
    weights don't."""
    if not size.kib_per_token:
        return 0
    left = usable(instance, gpus) - needed(size, 0, adapters, gpus)
    return int(left / (size.kib_per_token * 1024)) // 1024 * 1024


def machine_for(size: Size, context: int, adapters: int, hosts: list[str]) -> str | None:
    """The smallest of `hosts` (by GPU memory, then by memory) that holds a copy."""
    fitting = [name for name in hosts if gpus_for(size, context, adapters, name)]
    return min(
        fitting,
        key=lambda name: (usable(name, MACHINES[name].gpus), MACHINES[name].memory, name),
        default=None,
    )
