"""The graphs equal transformers: every family, LoRA merges, the sentence encoder."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genai_stack import sources
from genai_stack.errors import InvalidModel
from genai_stack.hosting import artefact
from genai_stack.hosting.architecture import read_architecture
from genai_stack.hosting.encoder import SentenceEncoder
from genai_stack.hosting.fleet import MINILM_SHA256
from genai_stack.hosting.generator import properties
from genai_stack.hosting.llama import Precision, build
from genai_stack.hosting.lora import merge
from genai_stack.hosting.scoring import Scorer
from genai_stack.hosting.weights import open_weights
from tests.hosting.models import write_adapter, write_model

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
TOKENS = [int(i) for i in np.random.default_rng(3).integers(3, 390, 300)]


def scored(directory: Path, precision: Precision = "f32", adapter: Path | None = None) -> list[float]:
    """Log-probabilities of TOKENS[1:] on the plain runtime, read in several pieces."""
    weights = open_weights(directory)
    graph = build(read_architecture(directory), merge(weights, adapter) if adapter else weights, precision)
    scorer = Scorer(graph, properties("f32", 1))
    return [score.logprob for part in scorer.score(TOKENS, 0) for score in part]


def expected(model: Any) -> Any:
    import torch

    with torch.no_grad():
        logprobs = model(torch.tensor([TOKENS])).logits[0].log_softmax(-1)
    return logprobs[range(len(TOKENS) - 1), TOKENS[1:]].numpy()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True}),
        ("llama", {"rope_parameters": LLAMA3, "num_key_value_heads": 4}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 32}),
    ],
    ids=["llama-bias", "llama3-rope", "linear-rope", "qwen2", "qwen3"],
)
def test_the_graph_equals_transformers(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    model = write_model(tmp_path, kind, **settings)
    np.testing.assert_allclose(scored(tmp_path), expected(model), atol=2e-3)


def test_int8_stays_close(tiny: Any, tiny_dir: Path) -> None:
    assert np.abs(np.array(scored(tiny_dir, "int8")) - expected(tiny)).mean() < 0.15


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("model_type", "mamba", "mamba"),
        ("hidden_act", "relu", "relu"),
        ("rope_scaling", {"rope_type": "yarn", "factor": 4.0}, "yarn"),
        ("use_sliding_window", True, "use_sliding_window"),
        ("num_key_value_heads", 3, "heads"),
        ("vocab_size", "many", "vocab_size"),
    ],
)
def test_what_isnt_supported_is_named(
    tiny: Any, tiny_dir: Path, tmp_path: Path, setting: str, value: Any, named: str
) -> None:
    config = json.loads((tiny_dir / "config.json").read_text())
    config.pop("rope_parameters", None)
    (tmp_path / "config.json").write_text(json.dumps(config | {setting: value}))
    with pytest.raises(InvalidModel, match=named):
        read_architecture(tmp_path)


def test_tensors_of_another_shape_are_refused(tiny: Any, tiny_dir: Path, tmp_path: Path) -> None:
    config = json.loads((tiny_dir / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 17}))
    with pytest.raises(InvalidModel, match="embed_tokens"):
        build(read_architecture(tmp_path), open_weights(tiny_dir), "int8")


@pytest.mark.parametrize(
    "settings", [{}, {"use_rslora": True}, {"target_modules": "all-linear", "r": 2}], ids=str
)
def test_a_merged_adapter_equals_peft(
    tiny: Any, tiny_dir: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    model = write_adapter(copy.deepcopy(tiny), tmp_path, **settings)
    found = scored(tiny_dir, adapter=tmp_path)
    np.testing.assert_allclose(found, expected(model), atol=2e-3)
    assert np.abs(np.array(found) - expected(tiny)).max() > 0.1


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("use_dora", True),
        ("modules_to_save", ["lm_head"]),
        ("rank_pattern", {"q_proj": 8}),
        ("fan_in_fan_out", True),
        ("bias", "all"),
        ("peft_type", "IA3"),
        ("init_lora_weights", "pissa"),
        ("layer_replication", [[0, 2]]),
        ("trainable_token_indices", [1]),
        ("something_new", True),
    ],
)
def test_an_adapter_that_cant_be_merged_is_refused_by_name(
    tiny_dir: Path, adapter_dirs: list[Path], tmp_path: Path, setting: str, value: Any
) -> None:
    config = json.loads((adapter_dirs[0] / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {setting: value}))
    (tmp_path / "adapter_model.safetensors").symlink_to(adapter_dirs[0] / "adapter_model.safetensors")
    with pytest.raises(InvalidModel, match=setting):
        merge(open_weights(tiny_dir), tmp_path)


def test_an_adapter_of_another_model_is_refused(adapter_dirs: list[Path], tmp_path: Path) -> None:
    write_model(tmp_path, hidden_size=32)
    with pytest.raises(InvalidModel, match="another model"):
        merge(open_weights(tmp_path), adapter_dirs[0])


def test_sentence_embeddings_equal_transformers() -> None:
    import torch
    from transformers import AutoTokenizer, BertModel

    directory = sources.resolve("minilm")
    texts = ["a cat sat", "The quick brown fox jumps over the lazy dog, twice.", "naïve café 漢字"]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = BertModel.from_pretrained(directory)(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    pooled = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
    found = np.zeros_like(pooled)
    for places, rows in SentenceEncoder(directory, 1).encode([tokenizer(text)["input_ids"] for text in texts]):
        found[places] = rows
    np.testing.assert_allclose(found, pooled, atol=1e-3)


def test_the_embedding_weights_are_the_ones_pinned(tmp_path: Path) -> None:
    artefact.check_sha256(sources.resolve("minilm") / "model.safetensors", MINILM_SHA256)
    (tmp_path / "x").write_bytes(b"other")
    with pytest.raises(InvalidModel, match="SHA-256"):
        artefact.check_sha256(tmp_path / "x", MINILM_SHA256)


def test_a_form_is_made_once_and_anew_for_new_weights(
    tiny: Any, tiny_dir: Path, adapter_dirs: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(artefact, "convert_tokenizer", lambda directory, into: False)
    monkeypatch.setattr(artefact, "write_model", lambda *given: made.append(given[1]))
    plain = artefact.prepare(tiny_dir, None, "int8", tmp_path)
    assert artefact.prepare(tiny_dir, None, "int8", tmp_path) == plain
    assert made == [None]
    others = {
        artefact.prepare(tiny_dir, adapter_dirs[0], "int8", tmp_path),
        artefact.prepare(tiny_dir, adapter_dirs[1], "int8", tmp_path),
        artefact.prepare(tiny_dir, None, "f32", tmp_path),
    }
    assert len(others - {plain}) == 3
    assert not list(tmp_path.glob("building-*"))


def test_the_built_in_models_form_is_the_one_its_weights_make() -> None:
    """After new weights: python -m genai_stack.hosting.publish src/genai_stack/builtin/model"""
    directory = sources.resolve("builtin")
    manifest = json.loads((directory / artefact.SHIPPED / "manifest.json").read_text())
    assert manifest["tokenizer"] == artefact.tokenizer_digest(directory)
    assert manifest["model"] == artefact.model_digest(directory, None, "int8")
    assert artefact.prepare(directory, None, "int8", Path("/nowhere")) == directory / artefact.SHIPPED
    assert sum(f.stat().st_size for f in directory.rglob("*") if f.is_file()) <= 25e6
