"""Packing changes how fast a model learns and nothing of what: the loss over packed rows is the loss over documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genai_stack.training.batches import Collator
from genai_stack.training.encode import IGNORED, Encoded, encode, pack
from genai_stack.training.examples import Chat
from tests.training.conftest import CHATS


def loss(model: Any, rows: list[Encoded]) -> float:
    """The mean over all learned tokens, whatever rows they stand in."""
    import torch

    batch = Collator(0)(rows)
    del batch["tokens"]
    with torch.no_grad():
        return float(model(**batch).loss)


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


@pytest.mark.parametrize("kind", ["answers", "all"])
def test_packed_loss_is_unpacked_loss(model: Any, tokenizer: Any, kind: str) -> None:
    documents = [encode(Chat(chat["messages"]), tokenizer, kind) for chat in CHATS]
    rows = list(pack(documents, 64))
    assert len(rows) < len(documents)
    assert loss(model, rows) == pytest.approx(loss(model, documents), abs=1e-5)


def test_a_document_is_scored_as_if_it_stood_alone(model: Any, tokenizer: Any) -> None:
    """Another neighbour in the row changes nothing."""
    asked = encode(Chat(CHATS[0]["messages"]), tokenizer, "answers")
    for other in CHATS[1:4]:
        neighbour = encode(Chat(other["messages"]), tokenizer, "answers")
        silent = Encoded(neighbour.ids, [IGNORED] * len(neighbour.ids), neighbour.positions)
        (row,) = pack([silent, asked], 128)
        assert loss(model, [row]) == pytest.approx(loss(model, [asked]), abs=1e-5)
