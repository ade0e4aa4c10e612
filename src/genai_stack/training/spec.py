"""What a training run is: a frozen `TrainingSpec`, read from TOML or JSON. Knows no model and no tokenizer.

Paths in a spec are relative to the working directory of whoever runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .. import spec_file
from ..errors import InvalidSpec
from ..learning_rates import DEFAULTS
from ..spec_file import SPEC_BYTES

Positive = Annotated[int, msgspec.Meta(ge=1)]
Natural = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]


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
    """By default 2e-4 for `lora` and `qlora`, 5e-5 for `full`, 1e-3 for `pretrain`, 2e-5 for `dpo`."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How the rate falls to zero after the warm-up."""
    warmup_ratio: Share = 0.03
    batch_size: Positive = 8
    """Sequences per step, over all processes."""
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
    precision: Literal["auto", "f32", "bf16"] = "auto"
    """What is computed in; weights are kept in f32 while training. `auto` takes bf16 where the device computes it
    natively."""
    save_precision: Literal["f32", "bf16"] = "bf16"
    """What a whole model is saved in; adapters are always f32."""
    lora_rank: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    lora_alpha: Annotated[float, msgspec.Meta(gt=0)] = 32.0
    lora_dropout: Share = 0.0
    lora_targets: tuple[Text, ...] = ()
    """Names of the layers that are adapted; none named means every linear layer but the output head."""
    gradient_checkpointing: bool = False
    """Computes activations again instead of keeping them: less memory, a third more work."""
    compile: bool = False
    """Compiles the model with torch.compile: the first steps take minutes, the others less time."""
    dpo_beta: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    """How strongly `dpo` holds to its base."""
    dpo_whole_model: bool = False
    """Whether `dpo` trains every weight rather than an adapter."""
    checkpoint_every: Natural = 0
    """Steps between checkpoints; 0 makes one only when the run is interrupted."""
    log_every: Positive = 1
    """Steps between two lines of metrics.jsonl."""


class TrainingSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training run."""

    name: Name
    method: Literal["pretrain", "full", "lora", "qlora", "dpo"]
    """`pretrain` and `full` train every weight; `lora` an adapter; `qlora` an adapter on a base in 4 bits; `dpo` an
    adapter (or a whole model) on preference pairs (https://arxiv.org/abs/2305.18290)."""
    data: DataSpec
    output: Text
    """The directory, or `s3://bucket/prefix`, that receives the run. An interrupted run in it is resumed; this very
    run, complete, is left as it is; another one is refused."""
    base: Text = "builtin"
    """`builtin`, a model directory, `s3://bucket/prefix`, `hf://org/name[@revision]`, or `scratch` with an
    `[architecture]`."""
    architecture: Architecture | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    export: tuple[Literal["merged", "compiled"], ...] = ()
    """What is written beside the result: `merged`, the base with the adapter in it as a model of its own; `compiled`,
    the form the local engine serves (of the model, or of the merged one)."""
    keep_epochs: Natural = 0
    """The adapter as it is at the end of each of the last so many epochs is kept in `kept/step-N`, beside the result,
    which is the last epoch's."""
    shard: bool = False
    """Divide the model among the processes (FSDP2) rather than keep one in each; one process alone changes nothing."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 0
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    """CPU threads per process; None takes what the machine offers. Equal spec, seed and threads give equal weights on
    CPU."""

    @property
    def learning_rate(self) -> float:
        """The peak learning rate, the method's default filled in."""
        return self.hyperparameters.learning_rate or DEFAULTS[self.method]

    @property
    def adapter(self) -> bool:
        """Whether an adapter is trained, rather than a whole model."""
        return self.method in ("lora", "qlora") or (
            self.method == "dpo" and not self.hyperparameters.dpo_whole_model
        )

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
    return read(raw, str(path))


def read(raw: bytes, name: str) -> TrainingSpec:
    """The spec in the bytes of a file called `name`: TOML if it ends in `.toml`, else JSON. Raises InvalidSpec, naming
    the file."""
    try:
        return parse(spec_file.decode(raw, name))
    except InvalidSpec as error:
        raise InvalidSpec(f"{name}: {error.message}") from None


def parse(value: Any) -> TrainingSpec:
    """The spec in plain data. Unknown keys, wrong types and contradictions raise InvalidSpec."""
    spec = spec_file.convert(value, TrainingSpec)
    if (spec.base == "scratch") != (spec.architecture is not None):
        raise InvalidSpec('base = "scratch" needs an [architecture], and only it takes one')
    if spec.base == "scratch" and spec.method not in ("pretrain", "full"):
        raise InvalidSpec(
            f'method = "{spec.method}" starts from a trained base; give one, or method = "pretrain"'
        )
    if spec.method == "dpo":
        _check_dpo(spec)
    elif spec.hyperparameters.dpo_whole_model:
        raise InvalidSpec('hyperparameters.dpo_whole_model: only method = "dpo" takes it')
    if spec.shard and spec.hyperparameters.optimizer == "muon":
        raise InvalidSpec('hyperparameters.optimizer: "muon" steps whole matrices; take "adamw" with shard')
    if spec.shard and spec.architecture is not None and spec.architecture.start == "copying":
        raise InvalidSpec('architecture.start: "copying" holds weights that shard would divide; take "random"')
    if spec.method == "qlora" and spec.shard:
        raise InvalidSpec(
            'shard: a base in 4 bits stays whole in each process; take method = "lora" to divide it'
        )
    if "merged" in spec.export and not spec.adapter:
        raise InvalidSpec('export: "merged" is for adapters; a whole model is whole already')
    if spec.adapter and spec.export == ("compiled",):
        raise InvalidSpec('export: an adapter is compiled within its base; ask for "merged" too')
    if spec.keep_epochs:
        _check_keeping(spec)
    if spec.architecture is not None:
        _check_heads(spec.architecture)
    return spec


def _check_dpo(spec: TrainingSpec) -> None:
    if spec.hyperparameters.packing:
        raise InvalidSpec("hyperparameters.packing: preference pairs aren't packed")
    if spec.adapter and spec.hyperparameters.optimizer == "muon":
        raise InvalidSpec('hyperparameters.optimizer: "dpo" trains an adapter by "adamw"')
    if spec.data.loss == "all":
        raise InvalidSpec('data.loss: "dpo" learns from answers alone')
    if spec.shard and spec.hyperparameters.dpo_whole_model:
        raise InvalidSpec(
            "shard: a whole model on preferences isn't divided; train an adapter, or without shard"
        )


def _check_keeping(spec: TrainingSpec) -> None:
    if not spec.adapter:
        raise InvalidSpec("keep_epochs: only adapters are kept; leave it out for a whole model")
    if spec.hyperparameters.max_steps or not spec.hyperparameters.epochs.is_integer():
        raise InvalidSpec("keep_epochs: takes whole epochs, and no max_steps; set epochs to a whole number")


def plain(spec: TrainingSpec) -> dict[str, Any]:
    """The spec as JSON holds it, to be kept and compared."""
    value: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec))
    return value


def _check_heads(shape: Architecture) -> None:
    if shape.vocabulary and shape.tokenizer != "train":
        raise InvalidSpec('architecture.vocabulary: only tokenizer = "train" takes one')
    if shape.hidden_size % shape.heads or (shape.hidden_size // shape.heads) % 2:
        raise InvalidSpec("architecture.hidden_size: must be an even multiple of architecture.heads")
    if shape.start == "copying" and shape.layers < 2:
        raise InvalidSpec('architecture.start: "copying" takes two layers or more')
    if shape.heads % shape.kv_heads:
        raise InvalidSpec("architecture.heads: must be a multiple of architecture.kv_heads")
