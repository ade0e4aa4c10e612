"""Opens the base a spec names, and writes what was trained. Safetensors only; no code from a repository is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import InvalidModel, InvalidSpec
from ..sources import resolve
from .beginnings import set_copying_heads
from .spec import Architecture, TrainingSpec
from .tokenizer import train_once

VOCABULARY = 8192
"""Entries of a tokenizer that is learned, unless the spec says."""
VOCABULARY_MULTIPLE = 64


def open_tokenizer(spec: TrainingSpec, output: Path) -> Any:
    """The base's tokenizer with a pad token, or one learned from the data and kept in the directory `output`. Raises
    InvalidModel."""
    from transformers import AutoTokenizer

    shape = spec.architecture
    source = shape.tokenizer if shape else spec.base
    if shape and source == "train":
        directory = train_once(
            spec.data.train, output / "tokenizer", shape.vocabulary or VOCABULARY, shape.context
        )
    else:
        directory = resolve(source)
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidModel(f"{source}: no usable tokenizer: {_first_line(error)}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def open_model(spec: TrainingSpec, tokenizer: Any) -> Any:
    """The base in f32: random weights for `scratch`, wrapped by a fresh adapter for `lora`. Raises InvalidModel."""
    import torch
    from transformers import AutoModelForCausalLM

    if spec.architecture is not None:
        return _scratch(spec.architecture, tokenizer, spec.seed)
    directory = resolve(spec.base)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InvalidModel(f"{spec.base}: can't be opened: {_first_line(error)}") from None
    return _with_adapter(model, spec) if spec.method == "lora" else model


def _scratch(shape: Architecture, tokenizer: Any, seed: int) -> Any:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    vocabulary = -(-len(tokenizer) // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
           "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    config: Any = LlamaConfig(
        vocab_size=vocabulary, hidden_size=shape.hidden_size, intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.hidden_size // shape.heads, max_position_embeddings=shape.context, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta}, **ids,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config)
    generation: Any = GenerationConfig
    model.generation_config = generation(**ids)
    if shape.start == "copying":
        set_copying_heads(model, seed)
    return model


def _with_adapter(model: Any, spec: TrainingSpec) -> Any:
    from peft import LoraConfig, get_peft_model

    h = spec.hyperparameters
    make: Any = LoraConfig
    config = make(
        r=h.lora_rank, lora_alpha=h.lora_alpha, lora_dropout=h.lora_dropout, bias="none", task_type="CAUSAL_LM",
        target_modules=list(h.lora_targets) or "all-linear", base_model_name_or_path=_base_name(spec),
    )  # fmt: skip
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise InvalidSpec(f"hyperparameters.lora_targets: {_first_line(error)}") from None


def _base_name(spec: TrainingSpec) -> str:
    """What an adapter says it adapts: the source, but of a directory only its own name."""
    return spec.base if spec.base == "builtin" or "://" in spec.base else Path(spec.base).resolve().name


def save(model: Any, tokenizer: Any, spec: TrainingSpec, output: Path) -> str:
    """Writes `output/adapter` or `output/model` and returns which. What was there is replaced."""
    import shutil

    import torch

    kind = "adapter" if spec.method == "lora" else "model"
    target = output / kind
    shutil.rmtree(target, ignore_errors=True)
    if kind == "adapter":
        model.peft_config["default"].base_model_name_or_path = _base_name(spec)
        model.save_pretrained(target)
        (target / "README.md").unlink(missing_ok=True)
        return kind
    if spec.hyperparameters.save_precision == "bf16":
        model = model.to(torch.bfloat16)
    model.config.use_cache = True
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _portable(target)
    return kind


def _portable(directory: Path) -> None:
    """Names the tokenizer's class as every release of transformers knows it, and drops what tells of this run."""
    path = directory / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    for key in ("name_or_path", "is_local", "local_files_only", "backend"):
        config.pop(key, None)
    template = directory / "chat_template.jinja"
    if template.is_file():
        config["chat_template"] = template.read_text(encoding="utf-8")
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
