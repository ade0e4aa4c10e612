"""What config.json says, read once and checked: decoders of the Llama, Qwen2 and Qwen3 family, BERT encoders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from ..errors import InvalidModel

_FAMILY = ("llama", "qwen2", "qwen3")


class _Rope(msgspec.Struct):
    """`rope_scaling`, or transformers 5's `rope_parameters`."""

    rope_type: str | None = None
    type: str | None = None
    rope_theta: float | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


class _Config(msgspec.Struct):
    model_type: str
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    tie_word_embeddings: bool = False
    rope_theta: float = 10000.0
    rope_scaling: _Rope | None = None
    rope_parameters: _Rope | None = None
    use_sliding_window: bool = False
    eos_token_id: int | list[int] | None = None


class Architecture(msgspec.Struct, frozen=True):
    """`inverse_frequencies` has head_dim / 2 entries; `context` is the window in tokens."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    epsilon: float
    tied: bool
    inverse_frequencies: tuple[float, ...]

    def kv_bytes_per_token(self, element: int) -> int:
        """Bytes that the keys and values of one token take, `element` bytes a number."""
        return 2 * self.layers * self.kv_heads * (self.head_dim * element + 8)


def model_type(directory: Path) -> str:
    """Raises InvalidModel."""
    return str(read_json(directory / "config.json").get("model_type"))


def read_json(file: Path) -> dict[str, Any]:
    """Raises InvalidModel when the file is missing or isn't a JSON object."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise InvalidModel(f"{file} can't be read; give a model directory in Hugging Face layout") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidModel(f"{file}: {error}") from error


def read_architecture(directory: Path) -> Architecture:
    """Raises InvalidModel, naming the setting that isn't supported."""
    file = directory / "config.json"
    raw = read_json(file)
    if raw.get("model_type") not in _FAMILY:
        raise InvalidModel(
            f"{file}: model_type {raw.get('model_type')!r} isn't supported; give one of {', '.join(_FAMILY)}"
        )
    try:
        config = msgspec.convert(raw, _Config)
    except msgspec.ValidationError as error:
        raise InvalidModel(f"{file}: {error}") from error
    if config.hidden_act != "silu":
        raise InvalidModel(f"{file}: hidden_act {config.hidden_act!r} isn't supported")
    if config.use_sliding_window:
        raise InvalidModel(f"{file}: use_sliding_window isn't supported")
    kv_heads = config.num_key_value_heads or config.num_attention_heads
    head_dim = config.head_dim or config.hidden_size // max(1, config.num_attention_heads)
    sizes = (config.vocab_size, config.hidden_size, config.num_hidden_layers, kv_heads, head_dim)
    if min(sizes) < 1 or config.num_attention_heads % kv_heads or head_dim % 2:
        raise InvalidModel(f"{file}: sizes that don't fit together; check heads, hidden_size and head_dim")
    return Architecture(
        vocabulary=config.vocab_size,
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        context=config.max_position_embeddings,
        epsilon=config.rms_norm_eps,
        tied=config.tie_word_embeddings,
        inverse_frequencies=_inverse_frequencies(config, head_dim, file),
    )


class Encoder(msgspec.Struct, frozen=True):
    """config.json of a BERT. `max_position_embeddings` is the window in tokens."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    vocab_size: int
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    position_embedding_type: str = "absolute"


def read_encoder(directory: Path) -> Encoder:
    """Raises InvalidModel, naming the setting that isn't supported."""
    file = directory / "config.json"
    try:
        config = msgspec.convert(read_json(file), Encoder)
    except msgspec.ValidationError as error:
        raise InvalidModel(f"{file}: {error}") from error
    if config.hidden_act != "gelu" or config.position_embedding_type != "absolute":
        raise InvalidModel(f"{file}: only gelu and absolute positions are supported in an encoder")
    return config


def stop_tokens(directory: Path) -> list[int]:
    """The ids that end an answer, from generation_config.json, else config.json. May be empty."""
    for name in ("generation_config.json", "config.json"):
        file = directory / name
        found = read_json(file).get("eos_token_id") if file.is_file() else None
        if isinstance(found, int):
            return [found]
        if isinstance(found, list):
            return [int(i) for i in found]
    return []


def _inverse_frequencies(config: _Config, head_dim: int, file: Path) -> tuple[float, ...]:
    rope = config.rope_parameters or config.rope_scaling or _Rope()
    kind = rope.rope_type or rope.type or "default"
    theta = rope.rope_theta or config.rope_theta
    plain = [theta ** (-place / head_dim) for place in range(0, head_dim, 2)]
    if kind == "default":
        return tuple(plain)
    if kind == "linear":
        return tuple(frequency / rope.factor for frequency in plain)
    if kind == "llama3":
        return tuple(_llama3(frequency, rope) for frequency in plain)
    raise InvalidModel(
        f"{file}: the rope scaling {kind!r} isn't supported; 'default', 'linear' and 'llama3' are"
    )


def _llama3(frequency: float, rope: _Rope) -> float:
    """Slow rotations are slowed down by `factor`, fast ones left alone, the ones between mixed."""
    turns = rope.original_max_position_embeddings * frequency / (2 * math.pi)
    mix = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    mix = min(1.0, max(0.0, mix))
    return (1 - mix) * frequency / rope.factor + mix * frequency
