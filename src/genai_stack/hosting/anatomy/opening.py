"""A model's files as a model that can be read."""

from __future__ import annotations

from pathlib import Path

from ..architecture import model_type, read_architecture, read_encoder
from ..lora import merge
from ..weights import open_weights
from .decoder import DecoderModel
from .encoder import EncoderModel
from .layer import Model


def open_model(directory: Path, adapter: Path | None = None) -> Model:
    """The model in `directory`, with `adapter` merged in. Raises InvalidModel."""
    weights = open_weights(directory)
    if model_type(directory) == "bert":
        return EncoderModel(read_encoder(directory), weights)
    merged = merge(weights, adapter) if adapter else weights
    return DecoderModel(read_architecture(directory), merged)
