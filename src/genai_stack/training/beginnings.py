"""Random weights that can already copy: a start for small models that can't be fed the tokens copying takes to appear.

Copying from the context rests on two layers. A head of the first looks at the token before and carries what that token
was; a head of the second looks for places that carry what the current token is, and so finds what followed it last
time. Gradient descent finds this pair late and suddenly. Here both are set by hand, in Llama's own parameters, and
everything else is random; on a random sequence told twice such a model says the next token right four times in five,
before any training. Tokens that are one but for a space begin alike, so that what is found as " Oslo" can be said as
"Oslo".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

CONTENT, CONSTANT = 0.1, 0.4
"""Embeddings: the standard deviation of their random part, and the first coordinate, which all tokens share."""
PAIRS, SHARPNESS = 4, 60.0
"""Looking one token back: how many of the fastest rotary pairs do it, and how sharply."""
MATCH, SAY, LOUDNESS = 2.2, 3.0, 0.8
"""How sharply a token is looked for, how strongly what followed it is written, and the final norm's weight."""
NOISE = 0.004
SPACED = 0.5
"""How much of a space's embedding a token that begins with one has, on top of what it is without."""


def set_copying_heads(model: Any, seed: int, spaced: Sequence[tuple[int, int]] = ()) -> None:
    """Overwrites a freshly made Llama of two or more layers, and holds what was set by hand while it is trained: a
    young model's large steps would wash it out. Opened again, the model trains whole. `spaced` are the tokens that
    begin with a space, each with the one that it is without. Equal seeds, equal weights."""
    import torch

    with torch.no_grad():
        _Copying(model, torch.Generator().manual_seed(seed)).set(spaced)
    for layer in model.model.layers[:2]:
        layer.self_attn.requires_grad_(False)
    shared = torch.ones(model.config.hidden_size)
    shared[0] = 0.0
    model.model.embed_tokens.weight.register_hook(lambda gradient: gradient * shared.to(gradient.device))


class _Copying:
    """The bases that the heads of the two layers share, and the weights they make."""

    def __init__(self, model: Any, generator: Any) -> None:
        import torch

        self.torch, self.model, self.generator = torch, model.model, generator
        c = model.config
        self.width, self.depth, self.heads, self.kv = (
            c.hidden_size,
            c.head_dim,
            c.num_attention_heads,
            c.num_key_value_heads,
        )
        self.theta = float(c.rope_parameters["rope_theta"])
        self.read, self.write = self._basis(self.kv * self.depth), self._basis(self.kv * self.depth)

    def _random(self, *shape: int) -> Any:
        return self.torch.randn(*shape, generator=self.generator)

    def _basis(self, rows: int) -> Any:
        """Orthonormal directions (at most all of them) that leave the shared coordinate alone."""
        free = self.torch.linalg.qr(self._random(self.width - 1, self.width - 1))[0][:rows]
        out = self.torch.zeros(rows, self.width)
        out[: len(free), 1:] = free
        return out

    def _per_query_head(self, rows: Any) -> Any:
        """Rows of the key-value heads, repeated for the query heads that share them."""
        grouped = rows.view(self.kv, self.depth, -1).repeat_interleave(self.heads // self.kv, 0)
        return grouped.reshape(self.heads * self.depth, -1)

    def set(self, spaced: Sequence[tuple[int, int]]) -> None:
        embedding = self.model.embed_tokens.weight
        embedding.copy_(self._random(*embedding.shape) * CONTENT)
        space = SPACED * CONTENT * self._random(self.width)
        for token, without in spaced:
            embedding[token] = embedding[without] + space
        embedding[:, 0] = CONSTANT
        self.model.norm.weight.fill_(LOUDNESS)
        self.model.norm.weight[0] = 0.0
        for index, layer in enumerate(self.model.layers):
            layer.mlp.down_proj.weight.mul_(0.1 if index < 2 else 0.3)
            if index > 1:
                layer.self_attn.o_proj.weight.mul_(0.3)
        self._look_back(self.model.layers[0].self_attn)
        self._look_up(self.model.layers[1].self_attn)

    def _fill(self, attention: Any, query: Any, key: Any, value: Any, output: Any) -> None:
        for layer, weight in ((attention.q_proj, query), (attention.k_proj, key)):
            layer.weight.copy_(weight + NOISE * self._random(*weight.shape))
        attention.v_proj.weight.copy_(value)
        attention.o_proj.weight.copy_(output + NOISE / 2 * self._random(*output.shape))

    def _look_back(self, attention: Any) -> None:
        """Queries and keys are the same for every token, turned so that they agree at a distance of one."""
        torch, half = self.torch, self.depth // 2
        scale = math.sqrt(CONTENT**2 + CONSTANT**2 / self.width)
        size = math.sqrt(SHARPNESS) * scale / CONSTANT
        pairs = min(PAIRS, half)
        angles = self.theta ** (-torch.arange(pairs) / half)
        key, query = torch.zeros(self.depth, self.width), torch.zeros(self.depth, self.width)
        key[:pairs, 0] = size
        query[:pairs, 0] = size * torch.cos(angles)
        query[half : half + pairs, 0] = -size * torch.sin(angles)
        output = CONTENT / (self.heads // self.kv) * self._per_query_head(self.write).T
        self._fill(attention, query.repeat(self.heads, 1), key.repeat(self.kv, 1), self.read, output)

    def _look_up(self, attention: Any) -> None:
        """Queries are what a token is, keys are what the one before it was, in the slow pairs that forget distance."""
        torch, half = self.torch, self.depth // 2
        slow = torch.tensor([slot for slot in range(self.depth) if slot % half >= half * 3 // 8])
        query, key = (
            torch.zeros(self.kv * self.depth, self.width),
            torch.zeros(self.kv * self.depth, self.width),
        )
        for head in range(self.kv):
            at, rows = head * self.depth + slow, torch.arange(len(slow)) + head * self.depth
            query[at], key[at] = self.read[rows] * MATCH, self.write[rows] * MATCH
        value = torch.cat([self._basis(self.depth) for _ in range(self.kv)])
        output = SAY / (self.heads // self.kv) * self._per_query_head(value).T
        self._fill(attention, self._per_query_head(query), key, value, output)
