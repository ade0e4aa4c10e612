"""BERT in NumPy: the vectors of a text as they pass from layer to layer. Every token sees every other.

token + position → norm → N × [ attention → add, norm → two matrices → add, norm ]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from ..architecture import Encoder
from ..weights import FloatArray
from .arithmetic import gelu, layer_norm, softmax
from .layer import Layer


class EncoderModel:
    """Weights are read when they are needed and let go again, but the token table, which is kept."""

    causal = False

    def __init__(self, shape: Encoder, weights: Mapping[str, FloatArray]) -> None:
        self._shape, self._weights = shape, weights
        self._prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
        self.layer_count, self.head_count = shape.num_hidden_layers, shape.num_attention_heads
        self.width = shape.hidden_size
        self.predicts = "cls.predictions.transform.dense.weight" in weights
        """Whether there is an output projection; a sentence encoder comes without."""

    @cached_property
    def table(self) -> FloatArray:
        """[vocabulary, width]: one vector for every token there is."""
        return self._tensor("embeddings.word_embeddings.weight")

    def enter(self, ids: Sequence[int]) -> FloatArray:
        """[tokens, width]: each token's vector plus one for where it stands."""
        places = self._tensor("embeddings.position_embeddings.weight")[: len(ids)]
        kind = self._tensor("embeddings.token_type_embeddings.weight")[0]
        return self._norm(self.table[list(ids)] + places + kind, "embeddings.LayerNorm")

    def layers(self, x: FloatArray) -> Iterator[Layer]:
        """Carries the vectors `x` through the layers, one at a time."""
        for index in range(self.layer_count):
            name = f"encoder.layer.{index}."
            query, key, value = (
                self._heads(self._linear(x, f"{name}attention.self.{part}"))
                for part in ("query", "key", "value")
            )
            # How well each query fits each key says how much of that token's value is mixed in.
            fit = query @ key.swapaxes(-1, -2) / np.float32(np.sqrt(query.shape[-1]))
            attention = softmax(fit)
            mixed = (attention @ value).swapaxes(0, 1).reshape(x.shape)
            mixed = self._linear(mixed, name + "attention.output.dense")
            x = self._norm(x + mixed, name + "attention.output.LayerNorm")
            inner = gelu(self._linear(x, name + "intermediate.dense"))
            x = self._norm(x + self._linear(inner, name + "output.dense"), name + "output.LayerNorm")
            yield Layer(index, attention, x)

    def logits(self, x: FloatArray) -> FloatArray:
        """[n, vocabulary]: a score for every token in the place of each vector of `x` [n, width], as a masked
        language model fills gaps. Only where `predicts`."""
        head = "cls.predictions."
        x = x @ self._weights[head + "transform.dense.weight"].T + self._weights[head + "transform.dense.bias"]
        norm = head + "transform.LayerNorm."
        x = layer_norm(
            gelu(x), self._weights[norm + "weight"], self._weights[norm + "bias"], self._shape.layer_norm_eps
        )
        tied = head + "decoder.weight" not in self._weights
        scores: FloatArray = x @ (self.table if tied else self._weights[head + "decoder.weight"]).T
        return scores + self._weights[head + "bias"]

    def _tensor(self, name: str) -> FloatArray:
        return self._weights[self._prefix + name]

    def _linear(self, x: FloatArray, name: str) -> FloatArray:
        return x @ self._tensor(name + ".weight").T + self._tensor(name + ".bias")

    def _norm(self, x: FloatArray, name: str) -> FloatArray:
        epsilon = self._shape.layer_norm_eps
        return layer_norm(x, self._tensor(name + ".weight"), self._tensor(name + ".bias"), epsilon)

    def _heads(self, x: FloatArray) -> FloatArray:
        """[tokens, width] to [heads, tokens, width of a head]."""
        return x.reshape(len(x), self.head_count, -1).swapaxes(0, 1)
