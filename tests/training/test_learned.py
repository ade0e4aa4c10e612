"""Logits only where a token is learned: the same loss, the same gradients, less work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genai_stack.training.batches import Collator
from genai_stack.training.encode import IGNORED, encode, pack
from genai_stack.training.examples import Chat
from genai_stack.training.learned import only_learned
from tests.training.conftest import CHATS


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model)


def batch(tokenizer: Any, kind: str) -> dict[str, Any]:
    rows = list(pack([encode(Chat(chat["messages"]), tokenizer, kind) for chat in CHATS], 128))
    found = Collator(0)(rows)
    del found["tokens"]
    return found


def learned(model: Any, inputs: dict[str, Any], count: int) -> tuple[Any, dict[str, Any]]:
    model.zero_grad()
    out = model(**inputs, num_items_in_batch=count)
    out.loss.backward()
    return out, {name: p.grad.clone() for name, p in model.named_parameters()}


def test_loss_and_gradients_are_those_of_all_logits(model: Any, tokenizer: Any) -> None:
    import torch

    inputs = batch(tokenizer, "answers")
    count = int((inputs["labels"][:, 1:] != IGNORED).sum())
    whole, gradients = learned(model, inputs, count)
    with only_learned(model, inputs) as fewer:
        part, same = learned(model, fewer, count)
    assert part.logits.shape == (1, count, whole.logits.shape[-1])
    assert 0 < count < inputs["labels"].numel() / 2
    torch.testing.assert_close(part.loss, whole.loss, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(same, gradients, atol=1e-6, rtol=1e-4)
    again, _ = learned(model, inputs, count)
    assert again.logits.shape == whole.logits.shape, "the head is as it was"


@pytest.mark.parametrize("label", [IGNORED, None])
def test_where_nothing_or_nearly_everything_is_learned_nothing_changes(
    model: Any, tokenizer: Any, label: int | None
) -> None:
    inputs = batch(tokenizer, "all")
    if label is not None:
        inputs["labels"].fill_(label)
    with only_learned(model, inputs) as same:
        assert same is inputs
        assert not model.get_output_embeddings()._forward_pre_hooks
