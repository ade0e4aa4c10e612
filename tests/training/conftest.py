"""A tiny random model and a runner of the training program, shared by this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_stack import builtin

CHATS = [
    {"messages": [{"role": "user", "content": f"Say {word}."}, {"role": "assistant", "content": word}]}
    for word in ("apple", "river", "lamp", "seven", "green", "tiger", "bread", "moon")
]


def write_lines(path: Path, values: list[Any]) -> Path:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(builtin.model_dir())


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A one-layer Llama with random weights and the built-in tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("tiny") / "tiny-base"
    torch.manual_seed(0)
    config: Any = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def written_spec(folder: Path, base: Path, /, name: str = "run", **changes: Any) -> Path:
    """A spec of a short run on `base`; keywords replace its keys."""
    data = write_lines(folder / "train.jsonl", CHATS)
    spec: dict[str, Any] = {
        "name": name, "method": "lora", "base": str(base), "output": str(folder / name), "seed": 3,
        "threads": 1, "data": {"train": str(data)},
        "hyperparameters": {"epochs": 1, "batch_size": 4, "max_length": 64, "learning_rate": 0.05, "lora_rank": 4},
    }  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**spec, **changes}), encoding="utf-8")
    return path


@pytest.fixture
def make_spec(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    """Writes a spec of a short run on the tiny model; keywords replace its keys."""

    def make(name: str = "run", **changes: Any) -> Path:
        return written_spec(tmp_path, tiny_model, name, **changes)

    return make


def manifest(output: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((output / "manifest.json").read_text(encoding="utf-8"))
    return value


def digests(output: Path) -> dict[str, str]:
    """Of a complete run's files."""
    return {entry["path"]: entry["sha256"] for entry in manifest(output)["files"]}
