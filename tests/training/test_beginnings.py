from __future__ import annotations

from typing import Any

import pytest

from genai_stack.training.models import _scratch
from genai_stack.training.spec import Architecture
from genai_stack.training.tokenizer import spaced


@pytest.mark.parametrize(("start", "least", "most"), [("copying", 0.5, 1.0), ("random", 0.0, 0.05)])
def test_an_untrained_model_copies_what_it_has_seen_once(
    tokenizer: Any, start: Any, least: float, most: float
) -> None:
    import torch

    torch.manual_seed(0)
    model = _scratch(Architecture(start=start, layers=3), tokenizer, 0)
    told = torch.randint(3, 2048, (2, 20)).repeat(1, 3)
    with torch.no_grad():
        said = model(input_ids=told).logits[:, 20:-1].argmax(-1)
    assert least <= (said == told[:, 21:]).float().mean().item() <= most


def test_tokens_that_are_one_but_for_a_space_begin_alike(tokenizer: Any) -> None:
    import torch

    embedding = _scratch(Architecture(start="copying", layers=2), tokenizer, 0).model.embed_tokens.weight[:, 1:]
    with_space, without = map(list, zip(*spaced(tokenizer), strict=True))
    alike = torch.nn.functional.cosine_similarity(embedding[with_space], embedding[without])
    others = torch.nn.functional.cosine_similarity(embedding[with_space], embedding[without].roll(1, 0))
    assert alike.min() > 0.7
    assert others.abs().mean() < 0.2
