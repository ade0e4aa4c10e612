"""Logits where a token is learned, and nowhere else: of a conversation that is mostly prompt, the output head and the
loss are most of a small model's work, and most of the memory of one with a large vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .encode import IGNORED

MOST = 0.5
"""Where more of the tokens are learned, nothing is left out."""


@contextmanager
def only_learned(model: Any, inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """`inputs` for a causal model of transformers, whose head meanwhile sees the hidden states of those positions alone
    whose next token is learned. The loss is the same but for the order of sums; the logits are of (1, learned,
    vocabulary)."""
    from torch.nn.functional import pad

    following = pad(inputs["labels"][:, 1:], (0, 1), value=IGNORED)
    learned = following != IGNORED
    if not 0 < int(learned.sum()) <= MOST * learned.numel():
        yield inputs
        return
    hook = model.get_output_embeddings().register_forward_pre_hook(
        lambda _head, hidden: (hidden[0][learned.to(hidden[0].device)].unsqueeze(0),)
    )
    try:
        yield {**inputs, "shift_labels": following[learned].unsqueeze(0)}
    finally:
        hook.remove()
