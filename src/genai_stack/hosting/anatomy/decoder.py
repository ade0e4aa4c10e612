"""The Llama family (Llama, Qwen2, Qwen3) in NumPy: the vectors of a text as they pass from layer to layer.

    token → N × [ norm → attention → add → norm → gated matrices → add ] → norm → a score for every token

A token sees itself and those before it, never those after: that is what makes it a model that writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from ..architecture import Architecture
from ..weights import FloatArray
from .arithmetic import rms_norm, silu, softmax
from .layer import Layer


class DecoderModel:
    """Weights are read when they are needed and let go again, but the token table, which is kept."""

    predicts = causal = True

    def __init__(self, shape: Architecture, weights: Mapping[str, FloatArray]) -> None:
        self._shape, self._weights = shape, weights
        self.layer_count, self.head_count, self.width = shape.layers, shape.heads, shape.hidden

    @cached_property
    def table(self) -> FloatArray:
        """[vocabulary, width]: one vector for every token there is."""
        return self._weights["model.embed_tokens.weight"]

    def enter(self, ids: Sequence[int]) -> FloatArray:
        """[tokens, width]: each token's vector. Where it stands comes in later, when the heads turn."""
        return self.table[list(ids)]

    def layers(self, x: FloatArray) -> Iterator[Layer]:
        """Carries the vectors `x` through the layers, one at a time."""
        cos, sin = self._rotation(len(x))
        unseen = np.triu(np.full((len(x), len(x)), -np.inf, dtype=np.float32), k=1)
        for index in range(self.layer_count):
            name = f"model.layers.{index}."
            h = self._norm(x, name + "input_layernorm")
            query, key, value = (self._heads(self._linear(h, f"{name}self_attn.{p}_proj")) for p in "qkv")
            if f"{name}self_attn.q_norm.weight" in self._weights:
                query = self._norm(query, name + "self_attn.q_norm")
                key = self._norm(key, name + "self_attn.k_norm")
            query, key = _turn(query, cos, sin), _turn(key, cos, sin)
            key, value = self._shared(key), self._shared(value)
            # How well each query fits each key says how much of that token's value is mixed in.
            fit = query @ key.swapaxes(-1, -2) / np.float32(np.sqrt(self._shape.head_dim))
            attention = softmax(fit + unseen)
            mixed = (attention @ value).swapaxes(0, 1).reshape(len(x), -1)
            x = x + self._linear(mixed, name + "self_attn.o_proj")
            h = self._norm(x, name + "post_attention_layernorm")
            gate, up = self._linear(h, name + "mlp.gate_proj"), self._linear(h, name + "mlp.up_proj")
            x = x + self._linear(silu(gate) * up, name + "mlp.down_proj")
            yield Layer(index, attention, x)

    def logits(self, x: FloatArray) -> FloatArray:
        """[n, vocabulary]: a score for every token that could come next, from each vector of `x` [n, width]."""
        scores: FloatArray = self._norm(x, "model.norm") @ self._output.T
        return scores

    @cached_property
    def _output(self) -> FloatArray:
        return self.table if self._shape.tied else self._weights["lm_head.weight"]

    def _linear(self, x: FloatArray, name: str) -> FloatArray:
        y: FloatArray = x @ self._weights[name + ".weight"].T
        return y + self._weights[name + ".bias"] if name + ".bias" in self._weights else y

    def _norm(self, x: FloatArray, name: str) -> FloatArray:
        return rms_norm(x, self._weights[name + ".weight"], self._shape.epsilon)

    def _heads(self, x: FloatArray) -> FloatArray:
        """[tokens, heads · d] to [heads, tokens, d]."""
        return x.reshape(len(x), -1, self._shape.head_dim).swapaxes(0, 1)

    def _shared(self, x: FloatArray) -> FloatArray:
        """Keys and values that several heads share, once for each of them."""
        return np.repeat(x, self._shape.heads // self._shape.kv_heads, axis=0)

    def _rotation(self, length: int) -> tuple[FloatArray, FloatArray]:
        """[length, d] cosines and sines: the farther into the text, the farther a head's vectors are turned, so that
        their fit depends on how far apart two tokens are."""
        speeds = np.array(self._shape.inverse_frequencies, dtype=np.float32)
        angles = np.outer(np.arange(length, dtype=np.float32), speeds)
        angles = np.concatenate([angles, angles], axis=-1)
        return np.cos(angles), np.sin(angles)


def _turn(x: FloatArray, cos: FloatArray, sin: FloatArray) -> FloatArray:
    first, second = np.split(x, 2, axis=-1)
    turned: FloatArray = np.concatenate([-second, first], axis=-1)
    return x * cos + turned * sin
