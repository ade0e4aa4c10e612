"""The built-in model's files, as package data: a small Llama base, its tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path


def model_dir() -> Path:
    """The directory of the built-in base model, in Hugging Face layout."""
    return Path(__file__).parent / "model"
