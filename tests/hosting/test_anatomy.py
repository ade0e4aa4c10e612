"""Anatomy is what transformers computes; what is told of it is what was asked for, whatever the text."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_stack import sources
from genai_stack.errors import ContextLengthExceeded, InvalidModel, RequestError
from genai_stack.hosting.anatomy import plan
from genai_stack.hosting.anatomy.answer import open_model
from genai_stack.hosting.anatomy.arithmetic import gelu, project, silu, softmax, unit
from genai_stack.hosting.anatomy.dissect import Stopped, dissect, encode
from genai_stack.hosting.text import Text, load_text
from genai_stack.protocol import decode
from genai_stack.protocol.anatomy import Anatomy, AnatomyRequest
from tests.hosting.models import write_adapter, write_model, write_tokenizer
from tests.hosting.test_graphs import LLAMA3

TEXT = "The quick brown fox jumps over the lazy dog. A stitch in time saves nine: naïve café 🙂."
TOLERANCE = {"atol": 1e-4, "rtol": 0}


def write_encoder(directory: Path) -> Any:
    """A random BERT of two layers that fills gaps."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    tokenizer = write_tokenizer(directory)
    torch.manual_seed(7)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
    }
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model("bert", **shape)).float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "Norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(directory)
    return model


def reading(model: Any, ids: list[int]) -> Any:
    """What transformers sees: logits [T, V], attentions and hidden states per layer."""
    import torch

    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(torch.tensor([ids]), output_attentions=True, output_hidden_states=True)


def asked(directory: Path, text: str = TEXT, adapter: Path | None = None, **options: Any) -> Anatomy:
    request = AnatomyRequest("base", text, **options)
    return dissect(open_model(directory, adapter), load_text(directory), request, context=512)


def equals_transformers(model: Any, directory: Path, adapter: Path | None = None) -> None:
    vocabulary = model.config.vocab_size
    options: dict[str, Any] = {"attention_top": None, "vectors": True, "top_k": vocabulary, "neighbours": 0}
    told = asked(directory, adapter=adapter, **options)
    ids = [token.id for token in told.tokens]
    true = reading(model, ids)
    logits = np.zeros((len(ids), vocabulary))
    assert told.output is not None
    for prediction in told.output:
        logits[prediction.position, [c.id for c in prediction.top]] = [c.logit for c in prediction.top]
        assert sum(c.probability for c in prediction.top) + prediction.rest == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(logits, true.logits[0].numpy(), **TOLERANCE)
    assert told.attention is not None
    assert len(told.attention) == told.shape.layers * told.shape.heads
    for part in told.attention:
        found = np.array([row.weights for row in part.rows])
        np.testing.assert_allclose(found.sum(axis=1), 1, **TOLERANCE)
        np.testing.assert_allclose(found, true.attentions[part.layer][0, part.head].numpy(), **TOLERANCE)
    assert told.states is not None
    for state in told.states:
        if told.shape.kind == "decoder" and state.layer == told.shape.layers - 1:
            continue  # transformers tells the last one normed
        expected = true.hidden_states[state.layer + 1][0, state.position].numpy()
        np.testing.assert_allclose(state.vector, expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
        ("llama", {"rope_parameters": LLAMA3}),
        ("qwen2", {"num_key_value_heads": 1}),
        ("qwen3", {"head_dim": 32}),
    ],
    ids=["llama-bias", "llama3-rope", "qwen2", "qwen3"],
)
def test_a_decoder_equals_transformers(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    equals_transformers(write_model(tmp_path, kind, **options), tmp_path)


def test_an_encoder_equals_transformers(tmp_path: Path) -> None:
    equals_transformers(write_encoder(tmp_path), tmp_path)


def test_an_adapter_is_merged_in(tiny: Any, tiny_dir: Path, tmp_path: Path) -> None:
    tuned = write_adapter(copy.deepcopy(tiny), tmp_path)
    equals_transformers(tuned.merge_and_unload(), tiny_dir, tmp_path)
