"""What the bulk programs are asked to do: `BatchSpec` and `EvaluationSpec`, frozen, read from JSON or TOML."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .. import spec_file
from ..errors import InvalidSpec
from ..ports import ModelVersion
from ..protocol.batch_lines import Endpoint
from ..spec_file import S
from ..task_prompts.overrides import TasksConfig

Positive = Annotated[int, msgspec.Meta(ge=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


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
    tasks: TasksConfig | None = None
    """What the task routes say to the model, as `[tasks]` of stack.toml has it; None is as shipped."""


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
        return spec_file.convert(spec_file.decode(raw, name), kind)
    except InvalidSpec as error:
        raise InvalidSpec(f"{name}: {error.message}") from None
