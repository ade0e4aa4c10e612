"""What a run computes on: the device, what it computes fast, and how much of it a model uses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

from .. import settings

PEAK_BF16 = {
    "B200": 2250e12, "H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10G": 70e12,
}  # fmt: skip
"""Dense bfloat16 FLOP/s by a word of a GPU's name ("NVIDIA L4", "NVIDIA A100-SXM4-80GB"), from NVIDIA's data sheets."""


@dataclass(frozen=True)
class Device:
    """`peak` is FLOP/s in bfloat16, None where it isn't known. `bf16` says whether bfloat16 is computed natively: a
    processor that emulates it takes 25 times as long as in float32."""

    kind: Literal["cuda", "cpu"]
    name: str
    bf16: bool
    peak: float | None
    flash: bool
    """Whether flash attention is here; it computes in half precision only."""

    def in_bf16(self, precision: str) -> bool:
        """Whether a spec's `precision` means bfloat16 here."""
        return precision == "bf16" or (precision == "auto" and self.bf16)

    @property
    def index(self) -> int | str:
        """This process's device, as torch names it."""
        return settings.torchrun().local_rank if self.kind == "cuda" else "cpu"


def find() -> Device:
    """The GPU this process was given, else the processor."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        words = re.split(r"[ -]", name)
        peak = next((flops for word, flops in PEAK_BF16.items() if word in words), None)
        recent = torch.cuda.get_device_capability() >= (8, 0)
        flash = recent and find_spec("flash_attn") is not None
        return Device("cuda", name, recent, peak, flash)
    cpu: Any = torch.cpu
    native = bool(cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
    return Device("cpu", "cpu", native, None, False)


def flops_per_token(model: Any, length: int) -> float:
    """Of one training step: 6 per weight that is trained and 4 per weight that only passes gradients on (embeddings
    that are looked up count nothing), and 12 · layers · width · length for attention over causal rows of `length`
    (appendix B of https://arxiv.org/abs/2204.02311, PaLM; half of it, since half of causal attention is masked)."""
    looked_up = getattr(model.get_input_embeddings(), "weight", None)
    tied = model.get_output_embeddings() is not None and model.get_output_embeddings().weight is looked_up
    weights = 0.0
    for parameter in model.parameters():
        if parameter is looked_up and not tied:
            continue
        packed = getattr(parameter, "quant_state", None)  # bitsandbytes: two weights of 4 bits to a byte
        count = math.prod(packed.shape) if packed is not None else parameter.numel()
        weights += count * (6 if parameter.requires_grad else 4)
    config = model.config.get_text_config()
    width = config.num_attention_heads * getattr(
        config, "head_dim", config.hidden_size // config.num_attention_heads
    )
    attention: float = 6.0 * config.num_hidden_layers * width * length
    return weights + attention


def out_of_memory(error: BaseException) -> bool:
    """Whether the device, or the machine, had no room for a tensor."""
    import torch

    said = str(error)
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate" in said
    )
