"""Opens the base a spec names, and writes what was trained. Safetensors only; no code from a repository is run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ..errors import InvalidModel, InvalidSpec
from ..sources import resolve
from . import devices
from .beginnings import set_copying_heads
from .spec import Architecture, TrainingSpec
from .tokenizer import spaced, train_once

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
    """The base in f32 (in 4 bits for `qlora`), or random weights for `scratch`; no adapter on it yet. Raises
    InvalidModel."""
    import torch

    if spec.architecture is not None:
        return _scratch(spec.architecture, tokenizer, spec.seed)
    device = devices.find()
    options: dict[str, Any] = {}
    halved = device.in_bf16(spec.hyperparameters.precision)
    if device.flash and halved:
        options["attn_implementation"] = "flash_attention_2"
    if spec.method == "qlora":
        options |= _in_four_bits(device)
    elif spec.adapter and halved and not spec.shard:
        options["dtype"] = torch.bfloat16  # a base that only passes gradients on needs no more
    return open_base(spec.base, **options)


def open_base(source: str, **options: Any) -> Any:
    """The model at a source, in f32 unless `options` say otherwise. Raises InvalidModel."""
    import torch
    from transformers import AutoModelForCausalLM

    directory = resolve(source)
    try:
        return AutoModelForCausalLM.from_pretrained(
            directory, use_safetensors=True, trust_remote_code=False, local_files_only=True,
            **{"dtype": torch.float32, "attn_implementation": "sdpa", **options},
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InvalidModel(f"{source}: can't be opened: {_first_line(error)}") from None


def _in_four_bits(device: devices.Device) -> dict[str, Any]:
    """NF4 with its constants quantized as well (https://arxiv.org/abs/2305.14314), each process's model on its own
    device."""
    from importlib.util import find_spec

    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise InvalidSpec("method = \"qlora\" needs bitsandbytes; run: pip install 'genai-stack[qlora]'")
    make: Any = BitsAndBytesConfig
    config = make(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if device.bf16 else torch.float32,
    )  # fmt: skip
    return {"quantization_config": config, "device_map": {"": device.index}}


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
        set_copying_heads(model, seed, spaced(tokenizer))
    return model


def adapter_config(spec: TrainingSpec) -> Any:
    """The adapter that `spec` trains, as PEFT has it; None for a whole model."""
    from peft import LoraConfig

    if not spec.adapter:
        return None
    h = spec.hyperparameters
    make: Any = LoraConfig
    return make(
        r=h.lora_rank, lora_alpha=h.lora_alpha, lora_dropout=h.lora_dropout, bias="none", task_type="CAUSAL_LM",
        target_modules=list(h.lora_targets) or "all-linear",
    )  # fmt: skip


def with_adapter(model: Any, spec: TrainingSpec) -> Any:
    """`model` with a fresh adapter on it where `spec` trains one. Raises InvalidSpec."""
    from peft import get_peft_model, prepare_model_for_kbit_training

    config = adapter_config(spec)
    if config is None:
        return model
    if spec.method == "qlora":
        prepare: Any = prepare_model_for_kbit_training
        model = prepare(model, use_gradient_checkpointing=False)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise InvalidSpec(f"hyperparameters.lora_targets: {_first_line(error)}") from None


def base_name(spec: TrainingSpec) -> str:
    """What an adapter says it adapts: the source, but of a directory only its own name."""
    return spec.base if spec.base == "builtin" or "://" in spec.base else Path(spec.base).resolve().name


def save(
    model: Any, tokenizer: Any, spec: TrainingSpec, output: Path, weights: dict[str, Any] | None = None
) -> str:
    """Writes `output/adapter` or `output/model` and returns which. What was there is replaced. `weights` stand for the
    model's own where it holds but a shard."""
    if not spec.adapter:
        save_model(model, tokenizer, spec, output / "model", weights)
        return "model"
    save_adapter(model, spec, output / "adapter", weights)
    return "adapter"


def save_adapter(model: Any, spec: TrainingSpec, target: Path, weights: dict[str, Any] | None = None) -> None:
    """Writes the adapter of `model` into `target`, as PEFT does. What was there is replaced."""
    shutil.rmtree(target, ignore_errors=True)
    model.peft_config["default"].base_model_name_or_path = base_name(spec)
    # "auto" would ask the hub whether the base has other embeddings.
    model.save_pretrained(
        target, state_dict=weights, selected_adapters=["default"], save_embedding_layers=False
    )


def save_model(
    model: Any, tokenizer: Any, spec: TrainingSpec, target: Path, weights: dict[str, Any] | None = None
) -> None:
    """Writes a whole model into `target`, in the hub's layout and the spec's `save_precision`."""
    import torch

    shutil.rmtree(target, ignore_errors=True)
    halved = spec.hyperparameters.save_precision == "bf16"
    if weights is not None:
        tied = getattr(model, "all_tied_weights_keys", None) or ()
        weights = {name: w for name, w in weights.items() if name not in tied}
    if halved and weights is None:
        model = model.to(torch.bfloat16)
    elif halved and weights is not None:
        model.config.dtype = torch.bfloat16
        weights = {name: w.to(torch.bfloat16) for name, w in weights.items()}
    model.config.use_cache = True
    model.save_pretrained(target, state_dict=weights)
    tokenizer.save_pretrained(target)
    _portable(target)


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
