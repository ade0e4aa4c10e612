"""The Llama family as an OpenVINO graph, built from the tensors directly: no torch, no tracing.

One graph serves both runtimes: the batching engine replaces its cache and attention with paged ones, the plain
runtime keeps keys and values in its state. Matrices are int8 with one scale per output row, or float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import openvino as ov
from openvino import opset6
from openvino import opset13 as op

from ..errors import InvalidModel
from .architecture import Architecture
from .weights import FloatArray

Precision = Literal["int8", "f32"]
_FAR = -3.4e38


def build(shape: Architecture, weights: Mapping[str, FloatArray], precision: Precision) -> ov.Model:
    """Inputs `input_ids`, `attention_mask`, `position_ids` [B, T] and `beam_idx` [B]; output `logits` [B, T, V],
    float32. Raises InvalidModel when tensors are missing or have another shape than config.json says."""
    return _Builder(shape, weights, precision).model()


class _Builder:
    def __init__(self, shape: Architecture, weights: Mapping[str, FloatArray], precision: Precision) -> None:
        self.shape, self.weights, self.precision = shape, weights, precision
        self.sinks: list[Any] = []
        self.ids = _input("input_ids", [-1, -1], np.int64)
        self.attention = _input("attention_mask", [-1, -1], np.int64)
        self.positions = _input("position_ids", [-1, -1], np.int64)
        self.beam = _input("beam_idx", [-1], np.int32)
        dims = op.shape_of(self.ids, "i64")
        self.batch, self.length = op.gather(dims, _i64([0]), _i64(0)), op.gather(dims, _i64([1]), _i64(0))
        self.mask = self._mask()
        angles = op.matmul(
            op.unsqueeze(op.convert(self.positions, "f32"), _i64(2)),
            _f32([[shape.inverse_frequencies]]),
            False,
            False,
        )
        angles = op.concat([angles, angles], -1)
        self.cos, self.sin = op.unsqueeze(op.cos(angles), _i64(1)), op.unsqueeze(op.sin(angles), _i64(1))

    def model(self) -> ov.Model:
        embedding = self._matrix("model.embed_tokens.weight", self.shape.vocabulary, self.shape.hidden)
        x = op.gather(embedding, op.convert(self.ids, "i32"), op.constant(0, dtype=np.int32))
        for layer in range(self.shape.layers):
            x = self._block(x, layer)
        x = self._norm(x, "model.norm.weight")
        head = embedding
        if not self.shape.tied:
            head = self._matrix("lm_head.weight", self.shape.vocabulary, self.shape.hidden)
        logits = op.matmul(x, head, False, True)
        logits.output(0).set_names({"logits"})
        inputs = [self.ids, self.attention, self.positions, self.beam]
        return ov.Model([op.result(logits, name="logits")], self.sinks, inputs, "decoder")

    def _block(self, x: Any, layer: int) -> Any:
        s, name = self.shape, f"model.layers.{layer}."
        attention = name + "self_attn."
        h = self._norm(x, name + "input_layernorm.weight")
        q = self._heads(self._linear(h, attention + "q_proj", s.heads * s.head_dim), s.heads)
        k = self._heads(self._linear(h, attention + "k_proj", s.kv_heads * s.head_dim), s.kv_heads)
        v = self._heads(self._linear(h, attention + "v_proj", s.kv_heads * s.head_dim), s.kv_heads)
        if attention + "q_norm.weight" in self.weights:
            q, k = self._norm(q, attention + "q_norm.weight"), self._norm(k, attention + "k_norm.weight")
        k = self._cached(self._rotate(k), f"past_key_values.{layer}.keypresent.{layer}.key")
        v = self._cached(v, f"past_key_values.{layer}.valuepresent.{layer}.value")
        mixed = op.scaled_dot_product_attention(self._rotate(q), self._repeat(k), self._repeat(v), self.mask)
        mixed = op.reshape(op.transpose(mixed, _i64([0, 2, 1, 3])), _i64([0, 0, s.heads * s.head_dim]), True)
        x = op.add(x, self._linear(mixed, attention + "o_proj", s.hidden))
        h = self._norm(x, name + "post_attention_layernorm.weight")
        gate, up = self._linear(h, name + "mlp.gate_proj"), self._linear(h, name + "mlp.up_proj")
        return op.add(x, self._linear(op.multiply(op.swish(gate), up), name + "mlp.down_proj", s.hidden))

    def _matrix(self, name: str, rows: int | None = None, columns: int | None = None) -> Any:
        weight = self.weights[name]
        if weight.ndim != 2 or (rows or weight.shape[0], columns or weight.shape[1]) != weight.shape:
            raise InvalidModel(f"tensor {name!r} has the shape {weight.shape}; config.json says otherwise")
        if self.precision == "f32":
            return op.constant(weight, name=name)
        scale = np.abs(weight).max(axis=1, keepdims=True) / 127 + 1e-12
        rounded = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        halves = op.convert(op.constant(rounded, name=name), "f16")
        return op.convert(op.multiply(halves, op.constant(scale.astype(np.float16))), "f32")

    def _linear(self, x: Any, name: str, rows: int | None = None) -> Any:
        y = op.matmul(x, self._matrix(name + ".weight", rows), False, True)
        if name + ".bias" in self.weights:
            y = op.add(y, op.constant(self.weights[name + ".bias"][None, None]))
        return y

    def _norm(self, x: Any, name: str) -> Any:
        """Root-mean-square norm over the last axis."""
        mean = op.reduce_mean(op.power(x, _f32([[[2.0]]])), _i64([-1]), True)
        y = op.multiply(x, op.divide(_f32([[[1.0]]]), op.sqrt(op.add(mean, _f32([[[self.shape.epsilon]]])))))
        return op.multiply(y, op.constant(self.weights[name][None, None]))

    def _heads(self, x: Any, count: int) -> Any:
        """[B, T, count·d] to [B, count, T, d]. A query or key norm comes after, over d."""
        return op.transpose(op.reshape(x, _i64([0, 0, count, self.shape.head_dim]), True), _i64([0, 2, 1, 3]))

    def _rotate(self, x: Any) -> Any:
        half = self.shape.head_dim // 2
        first = op.slice(x, _i64([0]), _i64([half]), _i64([1]), _i64([3]))
        second = op.slice(x, _i64([half]), _i64([2**31]), _i64([1]), _i64([3]))
        turned = op.concat([op.multiply(second, _f32([[[[-1.0]]]])), first], -1)
        return op.add(op.multiply(x, self.cos), op.multiply(turned, self.sin))

    def _cached(self, x: Any, name: str) -> Any:
        """`x` behind what the state of that name holds so far."""
        s = self.shape
        info = ov.op.util.VariableInfo()
        info.data_shape = ov.PartialShape([-1, s.kv_heads, -1, s.head_dim])
        info.data_type, info.variable_id = ov.Type.f32, name
        variable = ov.op.util.Variable(info)
        size = op.concat([self.batch, _i64([s.kv_heads]), _i64([0]), _i64([s.head_dim])], 0)
        past = op.gather(opset6.read_value(op.broadcast(_f32(0.0), size), variable), self.beam, _i64(0))
        y = op.concat([past, x], 2)
        self.sinks.append(opset6.assign(y, variable))
        return y

    def _repeat(self, x: Any) -> Any:
        """Each key-value head once per query head of its group."""
        s = self.shape
        group = s.heads // s.kv_heads
        if group == 1:
            return x
        length = op.gather(op.shape_of(x, "i64"), _i64([2]), _i64(0))
        size = op.concat([self.batch, _i64([s.kv_heads]), _i64([group]), length, _i64([s.head_dim])], 0)
        return op.reshape(
            op.broadcast(op.unsqueeze(x, _i64(2)), size, "BIDIRECTIONAL"),
            _i64([0, s.heads, -1, s.head_dim]),
            True,
        )

    def _mask(self) -> Any:
        """[B, 1, T, past + T]: zero where a query may look, far below elsewhere."""
        full = op.gather(op.shape_of(self.attention, "i64"), _i64([1]), _i64(0))
        past = op.subtract(full, self.length)
        keys = op.range(_i64(0), op.squeeze(full, _i64(0)), _i64(1), "i64")
        queries = op.add(op.range(_i64(0), op.squeeze(self.length, _i64(0)), _i64(1), "i64"), past)
        causal = op.less_equal(op.unsqueeze(keys, _i64(0)), op.unsqueeze(queries, _i64(1)))
        present = op.not_equal(op.unsqueeze(op.unsqueeze(self.attention, _i64(1)), _i64(1)), _i64(0))
        seen = op.logical_and(op.unsqueeze(op.unsqueeze(causal, _i64(0)), _i64(0)), present)
        return op.select(seen, _f32(0.0), _f32(_FAR))


def _input(name: str, shape: list[int], dtype: type[np.generic]) -> Any:
    node = op.parameter(shape, dtype, name=name)
    node.output(0).set_names({name})
    return node


def _i64(value: Any) -> Any:
    return op.constant(np.array(value, dtype=np.int64))


def _f32(value: Any) -> Any:
    return op.constant(np.array(value, dtype=np.float32))
