"""What the catalogue chooses for a hosted model where its entry leaves the choice: the container's environment, what
one copy takes of a machine, how many machines there may be, and how long a copy may take to start."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from .catalogue import ModelConfig, Refuse
from .hosted import HostedModel, Task
from .machines import MACHINES

ASYNCHRONOUS: tuple[Task, ...] = ("video",)
"""Work that outlasts a request: SageMaker ends one after 60 seconds, and a queued one after an hour."""
REQUESTS: dict[Task, int] = {
    "chat": 32,
    "embedding": 64,
    "rerank": 64,
    "moderation": 32,
    "transcription": 16,
    "image": 2,
    "speech": 4,
    "music": 2,
    "video": 1,
}
"""Requests at once that a copy is meant for. Text is batched; a picture, a song or a film takes the GPUs for itself."""
LONGEST_ANSWER = 3600
"""Seconds; SageMaker's own limit of a queued one. vLLM-Omni gives a film up after 600 unless told."""
LORA_RANK = 64
"""The highest rank of an adapter that is served; vLLM's own default of 16 refuses common fine-tunes."""
ROOM = 0.8
"""Of a machine's cores and memory that copies may ask for: SageMaker keeps some for itself, how much it doesn't say."""
PARAMETER_BYTES = 4096
"""Of a standard SSM parameter, which holds what is published of a model."""
LONGEST_REFERENCE = 160
"""Bytes that a role's ARN, an image or another name may come to once it is known."""
FASTEST_START, SLOWEST_START = 900, 3600
"""Seconds. The latter is SageMaker's own limit."""


class Share(NamedTuple):
    """What one copy takes of a machine: CPU cores, MiB, GPUs."""

    cpus: float
    memory: int
    gpus: int


def asynchronous(model: ModelConfig) -> bool:
    """Whether it answers through S3."""
    return model.task in ASYNCHRONOUS


def requests_per_copy(model: ModelConfig) -> int:
    return model.requests_per_copy or REQUESTS[model.task]


def copies_per_machine(model: ModelConfig) -> int:
    """On the smallest of its machines."""
    return min(MACHINES[name].gpus for name in model.instances) // model.tensor_parallel


def share(model: ModelConfig) -> Share:
    """Of the smallest of its machines, so that a copy fits wherever it is placed."""
    gpus = model.tensor_parallel
    cpus = min(MACHINES[name].vcpus * gpus / MACHINES[name].gpus for name in model.instances)
    memory = min(MACHINES[name].memory * gpus / MACHINES[name].gpus for name in model.instances)
    return Share(max(math.floor(cpus * ROOM), 1), int(memory * ROOM), gpus)


def least_machines(model: ModelConfig) -> int:
    """Machines that are always up. One that answers through S3 counts machines, and no copies."""
    return model.min if asynchronous(model) else math.ceil(model.min / copies_per_machine(model))


def machines(model: ModelConfig) -> int:
    """Machines at the most: for every copy and one more, which a rolling update starts before it ends another."""
    if asynchronous(model):
        return model.max
    return math.ceil((model.max + 1) / copies_per_machine(model))


def startup_seconds(model: ModelConfig) -> int:
    """A copy fetches its weights, at 100 MB a second at the worst, loads them and compiles."""
    return min(FASTEST_START + math.ceil(model.size.weights / 100e6), SLOWEST_START)


def environment(model: ModelConfig) -> dict[str, str]:
    """The container's environment; what the entry says comes last. `SM_VLLM_<NAME>` is vLLM's option `--<name>`.

    Weights from S3 lie in `/opt/ml/model`, where the container finds them; from the hub it fetches them itself.
    """
    chosen = {
        "SM_VLLM_SERVED_MODEL_NAME": model.name,
        "SM_VLLM_TENSOR_PARALLEL_SIZE": str(model.tensor_parallel),
    }
    if model.source.startswith("hf://"):
        repository, _, revision = model.source.removeprefix("hf://").partition("@")
        chosen["SM_VLLM_MODEL"] = repository
        if revision:
            chosen["SM_VLLM_REVISION"] = revision
    if model.tokens:
        chosen["SM_VLLM_MAX_MODEL_LEN"] = str(model.tokens)
    if model.task in ("embedding", "rerank"):
        chosen["SM_VLLM_RUNNER"] = "pooling"
    if model.task == "video":
        chosen["VLLM_OMNI_VIDEO_SYNC_TIMEOUT"] = str(LONGEST_ANSWER)
    if model.adapters:
        chosen["SM_VLLM_ENABLE_LORA"] = "true"
        chosen["SM_VLLM_MAX_LORAS"] = chosen["SM_VLLM_MAX_CPU_LORAS"] = str(model.adapters)
        chosen["SM_VLLM_MAX_LORA_RANK"] = str(LORA_RANK)
        chosen["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    return chosen | model.environment


def hosted(model: ModelConfig, endpoint: str, role: str, image: str, alarms: tuple[str, ...]) -> HostedModel:
    """What is published of the model, given what only a deployment knows."""
    part = share(model)
    return HostedModel(
        name=model.name,
        task=model.task,
        source=model.source,
        endpoint=endpoint,
        role=role,
        image=image,
        environment=environment(model),
        cpus=part.cpus,
        memory_mb=part.memory,
        accelerators=part.gpus,
        min_copies=model.min,
        max_copies=model.max,
        requests_per_copy=requests_per_copy(model),
        startup_seconds=startup_seconds(model),
        adapters=model.adapters,
        alarms=alarms,
        asynchronous=asynchronous(model),
    )


def serverless(model: ModelConfig, endpoint: str, role: str, image: str) -> HostedModel:
    """The same of one on serverless processors."""
    return HostedModel(
        name=model.name,
        task=model.task,
        source=model.source.rpartition("/")[2],  # of a directory no more than its name
        endpoint=endpoint,
        role=role,
        image=image,
        environment={},
        cpus=0,
        memory_mb=model.serverless_memory,
        accelerators=0,
        min_copies=0,
        max_copies=model.max,
        requests_per_copy=1,
        startup_seconds=60,
        serverless=True,
    )


def refuse_large(model: ModelConfig, refuse: Refuse) -> None:
    """Calls `refuse` on a model of which more would have to be published than a parameter holds."""
    longest = "x" * LONGEST_REFERENCE
    size = len(msgspec.json.encode(hosted(model, longest, longest, longest, (longest,))))
    if size > PARAMETER_BYTES:
        spare = size - PARAMETER_BYTES
        refuse(f"{spare} bytes too many: SSM holds {PARAMETER_BYTES} of a model; say less", "environment")
