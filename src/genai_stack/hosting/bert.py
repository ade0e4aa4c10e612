"""A BERT sentence encoder as an OpenVINO graph: mean pooling over the mask, then length 1, inside the graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from .architecture import Encoder
from .weights import FloatArray


def build(config: Encoder, weights: Mapping[str, FloatArray]) -> ov.Model:
    """Inputs `input_ids` and `attention_mask` [B, T]; output [B, hidden], float32, each row of length 1."""
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
    heads, width = config.num_attention_heads, config.hidden_size

    def tensor(name: str) -> Any:
        return op.constant(weights[prefix + name])

    def linear(x: Any, name: str) -> Any:
        return op.add(op.matmul(x, tensor(name + ".weight"), False, True), tensor(name + ".bias"))

    def norm(x: Any, name: str) -> Any:
        y = op.mvn(x, _i64([-1]), True, config.layer_norm_eps, "inside_sqrt")
        return op.add(op.multiply(y, tensor(name + ".weight")), tensor(name + ".bias"))

    def split(x: Any) -> Any:
        return op.transpose(op.reshape(x, _i64([0, 0, heads, width // heads]), True), _i64([0, 2, 1, 3]))

    ids, attention = _input("input_ids"), _input("attention_mask")
    length = op.gather(op.shape_of(ids, "i64"), _i64(1), _i64(0))
    places = op.range(_i64(0), length, _i64(1), "i64")
    axis = _i64(0)
    x = op.gather(tensor("embeddings.word_embeddings.weight"), ids, axis)
    x = op.add(x, op.gather(tensor("embeddings.position_embeddings.weight"), places, axis))
    x = op.add(x, op.gather(tensor("embeddings.token_type_embeddings.weight"), _i64(0), axis))
    x = norm(x, "embeddings.LayerNorm")
    present = op.convert(attention, "f32")
    mask = op.unsqueeze(op.multiply(op.subtract(_f32(1.0), present), _f32(-1e30)), _i64([1, 2]))
    for layer in range(config.num_hidden_layers):
        name = f"encoder.layer.{layer}."
        q, k, v = (split(linear(x, f"{name}attention.self.{part}")) for part in ("query", "key", "value"))
        mixed = op.transpose(op.scaled_dot_product_attention(q, k, v, mask), _i64([0, 2, 1, 3]))
        mixed = op.reshape(mixed, _i64([0, 0, width]), True)
        x = norm(op.add(x, linear(mixed, name + "attention.output.dense")), name + "attention.output.LayerNorm")
        h = op.gelu(linear(x, name + "intermediate.dense"), "erf")
        x = norm(op.add(x, linear(h, name + "output.dense")), name + "output.LayerNorm")
    weight = op.unsqueeze(present, _i64(2))
    mean = op.divide(op.reduce_sum(op.multiply(x, weight), _i64([1])), op.reduce_sum(weight, _i64([1])))
    size = op.sqrt(op.reduce_sum(op.multiply(mean, mean), _i64([-1]), True))
    pooled = op.divide(mean, op.maximum(size, _f32([1e-12])))
    return ov.Model([op.result(pooled, name="embedding")], [ids, attention], "encoder")


def _input(name: str) -> Any:
    node = op.parameter([-1, -1], np.int64, name=name)
    node.output(0).set_names({name})
    return node


def _i64(value: Any) -> Any:
    return op.constant(np.array(value, dtype=np.int64))


def _f32(value: Any) -> Any:
    return op.constant(np.array(value, dtype=np.float32))
