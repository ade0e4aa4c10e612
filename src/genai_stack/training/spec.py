"""What a training run is: a frozen `TrainingSpec`, read from TOML or JSON. Knows no model and no tokenizer.

Paths in a spec are relative to the working directory of whoever runs it.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from ..errors import InvalidSpec

Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
SPEC_BYTES = 1 << 20
"""A spec file over this many bytes is refused unread."""


class DataSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[data]`: files, directories, `s3://bucket/path` or `hf://datasets/org/name[@revision][/path]`, JSONL or Parquet.
    What an example is, `training.examples` says."""

    train: Text
    """The examples to learn from."""
    validation: Text | None = None
    """Examples whose loss is measured at the end of each epoch and never learned from."""
    loss: Literal["answers", "all"] | None = None
    """Which tokens are learned: `answers` (assistant turns, completions) or `all`. By default `all` for `pretrain`."""


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[architecture]`, for `base = "scratch"`: a Llama model with tied embeddings and random weights."""

    tokenizer: Text = "builtin"
    """A model source whose tokenizer and chat template are used, or `train`: one is learned from the data first."""
    vocabulary: Annotated[int, msgspec.Meta(ge=512, le=1 << 20)] | None = None
    """Entries of the tokenizer that `train` learns, at most; by default 8192."""
    hidden_size: Positive = 256
    intermediate_size: Positive = 768
    layers: Positive = 6
    heads: Positive = 8
    kv_heads: Positive = 4
    context: Positive = 1024
    """The longest sequence in tokens."""
    start: Literal["random", "copying"] = "random"
    """`copying` sets two layers of attention by hand so that the untrained model can copy from its context."""
    rope_theta: Annotated[float, msgspec.Meta(gt=0)] = 10000.0


class Hyperparameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[hyperparameters]`. Rates and counts are per optimizer step."""

    epochs: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 3.0
    max_steps: Positive | None = None
    """Stop after this many steps, whatever `epochs` says."""
    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """By default 2e-4 for `lora`, 5e-5 for `full`, 1e-3 for `pretrain`."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls to zero after the warm-up."""
    warmup_ratio: Share = 0.03
    batch_size: Positive = 8
    """Sequences per step."""
    gradient_accumulation: Positive = 1
    max_length: Annotated[int, msgspec.Meta(ge=8)] = 512
    """Tokens per sequence; what is longer is cut at the end, and counted in a warning."""
    packing: bool | None = None
    """Join whole examples into sequences of `max_length`. By default only for `pretrain`."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """`muon` steps the hidden matrices by Muon and everything else by AdamW."""
    weight_decay: Share = 0.0
    max_grad_norm: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """Gradients are clipped to this norm; 0 leaves them as they are."""
    precision: Literal["f32", "bf16"] = "f32"
    """What is computed in; weights are kept in f32 while training."""
    save_precision: Literal["f32", "bf16"] = "bf16"
    """What a whole model is saved in; adapters are always f32."""
    lora_rank: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    lora_alpha: Annotated[float, msgspec.Meta(gt=0)] = 32.0
    lora_dropout: Share = 0.0
    lora_targets: tuple[Text, ...] = ()
    """Names of the layers that are adapted; none named means every linear layer but the output head."""
    checkpoint_every: Natural = 0
    """Steps between checkpoints; 0 makes one only when the run is interrupted."""
    log_every: Positive = 1
    """Steps between two lines of metrics.jsonl."""


class TrainingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run."""

    name: Name
    method: Literal["pretrain", "full", "lora"]
    data: DataSpec
    output: Text
    """The directory that receives the run. A complete run in it is refused; an interrupted one is resumed."""
    base: Text = "builtin"
    """`builtin`, a model directory, `s3://bucket/prefix`, `hf://org/name[@revision]`, or `scratch` with an
    `[architecture]`."""
    architecture: Architecture | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """CPU threads; None takes what the machine offers. Equal spec, seed and threads give equal weights on CPU."""

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, the method's default filled in."""
        defaults = {"lora": 2e-4, "full": 5e-5, "pretrain": 1e-3}
        return self.hyperparameters.learning_rate or defaults[self.method]

    @property
    def packing(self) -> bool:
        given = self.hyperparameters.packing
        return self.method == "pretrain" if given is None else given

    @property
    def loss(self) -> str:
        return self.data.loss or ("all" if self.method == "pretrain" else "answers")


def load(path: Path) -> TrainingSpec:
    """The spec in a `.toml` or `.json` file. Raises InvalidSpec, naming the file."""
    try:
        if path.stat().st_size > SPEC_BYTES:
            raise InvalidSpec(
                f"{path}: over {SPEC_BYTES} bytes; a spec is a short file, the data goes in [data]"
            )
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidSpec(f"{path}: {error.strerror}; give the path of a TOML or JSON spec") from None
    try:
        value: Any = msgspec.json.decode(raw) if path.suffix == ".json" else tomllib.loads(raw.decode())
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise InvalidSpec(f"{path}: isn't valid {kind}: {error}") from None
    try:
        return parse(value)
    except InvalidSpec as error:
        raise InvalidSpec(f"{path}: {error.message}") from None


def parse(value: Any) -> TrainingSpec:
    """The spec in plain data. Unknown keys, wrong types and contradictions raise InvalidSpec."""
    _refuse_unknown(value, TrainingSpec, "")
    try:
        spec = msgspec.convert(value, TrainingSpec)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise InvalidSpec(f"{where.rstrip('`').lstrip('.') or 'spec'}: {message}") from None
    if (spec.base == "scratch") != (spec.architecture is not None):
        raise InvalidSpec('base = "scratch" needs an [architecture], and only it takes one')
    if spec.base == "scratch" and spec.method == "lora":
        raise InvalidSpec('method = "lora" adapts a trained base; give one, or method = "pretrain"')
    if spec.architecture is not None:
        _check_heads(spec.architecture)
    return spec


def _check_heads(shape: Architecture) -> None:
    if shape.vocabulary and shape.tokenizer != "train":
        raise InvalidSpec('architecture.vocabulary: only tokenizer = "train" takes one')
    if shape.hidden_size % shape.heads or (shape.hidden_size // shape.heads) % 2:
        raise InvalidSpec("architecture.hidden_size: must be an even multiple of architecture.heads")
    if shape.start == "copying" and shape.layers < 2:
        raise InvalidSpec('architecture.start: "copying" takes two layers or more')
    if shape.heads % shape.kv_heads:
        raise InvalidSpec("architecture.heads: must be a multiple of architecture.kv_heads")


def _refuse_unknown(value: Any, type_: type[msgspec.Struct], where: str) -> None:
    if not isinstance(value, dict):
        return
    hints = get_type_hints(type_)
    for key, item in value.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.0)[0]
            raise InvalidSpec(f"{where}{key}: no such key; did you mean {near!r}?")
        for part in (hints[key], *get_args(hints[key])):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                _refuse_unknown(item, part, f"{where}{key}.")
