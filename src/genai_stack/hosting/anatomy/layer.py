"""What one layer of a model did to a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from ..weights import FloatArray


class Layer(msgspec.Struct, frozen=True):
    """`attention` [heads, tokens, tokens]: how much of each token (last axis) every token (middle axis) took in.
    `state` [tokens, width]: the vectors as they leave the layer."""

    index: int
    attention: FloatArray
    state: FloatArray


class Model(Protocol):
    """A model that can be watched while it reads. `predicts`: whether it has an output projection. `causal`: whether a
    token sees those before it only, so that its last vector predicts the next one."""

    layer_count: int
    head_count: int
    width: int
    predicts: bool
    causal: bool

    @property
    def table(self) -> FloatArray:
        """[vocabulary, width]: one vector for every token there is."""

    def enter(self, ids: Sequence[int]) -> FloatArray:
        """[tokens, width]: what the first layer is given."""

    def layers(self, x: FloatArray) -> Iterator[Layer]:
        """Carries the vectors `x` through the layers, one at a time."""

    def logits(self, x: FloatArray) -> FloatArray:
        """[n, vocabulary]: a score for every token, from each vector of `x` [n, width]."""
