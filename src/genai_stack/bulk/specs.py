"""What the bulk programs are asked to do: `BatchSpec` and `EvaluationSpec`, frozen, read from JSON or TOML."""

from __future__ import annotations

import difflib
import tomllib
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import msgspec

from ..errors import InvalidSpec
from ..ports import ModelVersion
from ..protocol.batch_lines import Endpoint

Positive = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
VLLM_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")
"""What `vllm run-batch` knows."""
SPEC_BYTES = 1 << 20
S = TypeVar("S", bound=msgspec.Struct)


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is what requests say. `source` is `builtin`, `minilm`, a directory, s3://bucket/prefix or
    hf://org/name[@revision]; `adapter` a LoRA adapter on top of it, from one of these."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    source: Text
    adapter: Text | None = None

    def versions(self) -> tuple[ModelVersion, ...]:
        """What a registry must know for `name` to answer."""
        if self.adapter is None:
            return (ModelVersion(self.name, self.source),)
        base = "base" if self.name != "base" else "base-model"
        return ModelVersion(base, self.source), ModelVersion(self.name, self.adapter, base=base)


class BatchSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of a model over a batch file."""

    model: ModelSpec
    input: Text
    """A path, or s3://bucket/key: a JSONL file in OpenAI's batch format."""
    endpoint: Endpoint
    output: Text
    """The directory or s3://bucket/prefix that receives the run; an unfinished one in it is resumed."""
    engine: Literal["local", "vllm", "auto"] = "local"
    """`local` is the embedded engine; `vllm` runs `vllm run-batch`, which the GPU container has; `auto` takes vLLM
    where it is on PATH."""
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 64
    """Requests that share the engine's batch."""
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """Threads the local engine computes on; 0 takes every core."""
    precision: Literal["int8", "f32"] = "int8"
    """What the local engine computes in."""


class EvaluationSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of lm-eval's tasks on a model."""

    model: ModelSpec
    tasks: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    """Names of tasks, groups or tags, as lm-eval or `task_dir` has them."""
    output: Text
    """The directory or s3://bucket/prefix that receives the run; an unfinished one in it is resumed."""
    against: Literal["api", "weights"] = "api"
    """`api` asks a stack that serves the model, one started for it where none runs; `weights` loads them in torch."""
    limit: Positive | None = None
    """Questions per task; None means all of them."""
    num_fewshot: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Worked examples before each question; None leaves it to the task."""
    task_dir: Text | None = None
    """A directory of further task definitions in YAML; they go before lm-eval's own of the same name."""
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    """Requests at a time against the API."""
    batch_size: Positive = 16
    """Sequences at a time on the weights."""
    precision: Literal["int8", "f32"] = "int8"
    """What a stack started for this computes in; the weights are float32 on a CPU, and as they were saved on a GPU."""
    threads: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """Threads to compute on; 0 lets the engine decide."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] = 1234
    """Draws the worked examples."""


def read(raw: bytes, kind: type[S], name: str) -> S:
    """The spec in `raw`, JSON unless `name` ends in .toml. Raises InvalidSpec, which starts with `name`."""
    try:
        if len(raw) > SPEC_BYTES:
            raise InvalidSpec(f"over {SPEC_BYTES} bytes; a spec is a short file, the data goes in `input`")
        value: Any = tomllib.loads(raw.decode()) if name.endswith(".toml") else msgspec.json.decode(raw)
        return parse(value, kind)
    except InvalidSpec as error:
        raise InvalidSpec(f"{name}: {error.message}") from None
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        form = "TOML" if name.endswith(".toml") else "JSON"
        raise InvalidSpec(f"{name}: isn't valid {form}: {error}; correct it") from None


def parse(value: Any, kind: type[S]) -> S:
    """The spec in plain data. Unknown keys and wrong types raise InvalidSpec."""
    _refuse_unknown(value, kind, "")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise InvalidSpec(f"{where.rstrip('`').lstrip('.') or 'spec'}: {message}") from None


def _refuse_unknown(value: Any, kind: type[msgspec.Struct], where: str) -> None:
    if not isinstance(value, dict):
        return
    hints = get_type_hints(kind)
    for key, item in value.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.0)[0]
            raise InvalidSpec(f"{where}{key}: no such key; did you mean {near!r}?")
        if hints[key] is ModelSpec:
            _refuse_unknown(item, ModelSpec, f"{where}{key}.")
