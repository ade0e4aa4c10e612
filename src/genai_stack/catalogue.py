"""The catalogue's entries, `[[model]]` of `stack.toml`: what each says, and what is refused of it.

An entry without `instance` is served by this machine. One with `instance` is hosted in an account, by the hosting
stack; this machine doesn't serve it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import msgspec

from .containers import AMIS, CONTAINERS, NEWEST_AMI, cuda_of, runs
from .fit import (
    GIB,
    Size,
    billions_in,
    bytes_in,
    gpus_for,
    keys_and_values,
    longest,
    machine_for,
    needed,
    usable,
)
from .hosted import Task
from .machines import MACHINES, hosts
from .registries import REGISTRIES

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
LOCAL_TASKS: tuple[Task, ...] = ("chat", "embedding")
"""What the model servers of this machine can do."""
MEDIA_TASKS: tuple[Task, ...] = ("image", "speech", "music", "video")
ADAPTER_TASKS: tuple[Task, ...] = ("chat", "embedding")
CONTEXT = 8192
"""Of a hosted chat model that doesn't say."""
SERVERLESS = (1024, 2048, 3072, 4096, 5120, 6144)
"""MB that a serverless endpoint may have (SageMaker, ServerlessConfig.MemorySizeInMB)."""
POOLS = 5
"""Instance pools an endpoint may have."""


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[model]]`: a model this stack serves without anyone registering it."""

    name: Name
    """What a request says in `model`: letters, digits and `._:/-`."""
    source: Annotated[str, msgspec.Meta(min_length=1)]
    """`builtin`, `minilm`, a model directory (relative to stack.toml), `s3://bucket/prefix` or
    `hf://org/name[@revision]`. A hosted model's is one of the last two."""
    task: Task = "chat"
    """What the model does. This machine serves chat and embedding; `anatomy` is an account's alone, on processors that
    come for a request and go after it."""
    instance: str | tuple[str, ...] = ()
    """The GPU machine it is hosted on (`g6e.xlarge`), or up to five of them, the one to try first before the others.
    Without it the model is served by this machine and by no account."""
    min: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """Copies that are always up; 0 lets the last machine go when nobody asks."""
    max: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    """Copies at the most; with task `anatomy` texts at once."""
    memory: int = 0
    """MB of a model with task `anatomy`, 1,024 to 6,144; 0: 3,072."""
    context: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Tokens of the longest prompt and answer together; 0: 8,192 for chat and moderation, the model's own limit for the
    rest."""
    adapters: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """LoRA adapters that stay loaded beside a copy; 0 serves none."""
    gpus: Annotated[int, msgspec.Meta(ge=0, le=8)] = 0
    """GPUs of one copy; 0 takes the fewest that hold it."""
    requests_per_copy: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    """Requests at once that a copy is meant for: more of them start another copy. 0 goes by the task."""
    parameters: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """Billions of parameters, all parts together; 0 reads them off the source's name (`Qwen3-4B`)."""
    bytes_per_parameter: Annotated[float, msgspec.Meta(ge=0, le=4)] = 0.0
    """0 reads it off the source's name (`-FP8`, `-AWQ`), else takes 2."""
    cache_kib_per_token: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    """KiB that a token's keys and values take; 0 goes by the parameters."""
    image: Annotated[str, msgspec.Meta(pattern=r"^[^\s]*$")] = ""
    """A container image of your own, as a full ECR URI; empty takes AWS's for the task."""
    ami: str = ""
    """SageMaker's `InferenceAmiVersion`; empty takes the newest."""
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    """Set in the container beside what the catalogue sets, and before it: `SM_VLLM_<OPTION>` is an option of vLLM."""

    @property
    def hosted(self) -> bool:
        """Whether an account hosts it, and this machine doesn't serve it."""
        return bool(self.instance) or self.serverless

    @property
    def serverless(self) -> bool:
        """Whether it is hosted without a machine of its own."""
        return self.task == "anatomy"

    @property
    def serverless_memory(self) -> int:
        """MB."""
        return self.memory or SERVERLESS[2]

    @property
    def instances(self) -> tuple[str, ...]:
        """The machines it may be hosted on, first choice first."""
        return (self.instance,) if isinstance(self.instance, str) else self.instance

    @property
    def tokens(self) -> int:
        """The context that is asked for; 0 leaves it to the model."""
        return self.context or (CONTEXT if self.task in ("chat", "moderation") else 0)

    @property
    def size(self) -> Size:
        """What it takes of a GPU's memory. The parameters are known where `refuse_misfit` passed it."""
        billions = self.parameters or billions_in(self.source) or 0.0
        generates = self.task in ("chat", "moderation", "transcription")
        cache = self.cache_kib_per_token or (keys_and_values(billions) if generates or self.tokens else 0)
        each = self.bytes_per_parameter or bytes_in(self.source)
        return Size(billions, each, 0 if self.task in MEDIA_TASKS else cache)

    @property
    def tensor_parallel(self) -> int:
        """GPUs of one copy: as said, else what every machine it may be on needs."""
        return self.gpus or max(
            gpus_for(self.size, self.tokens, self.adapters, name) or MACHINES[name].gpus
            for name in self.instances
        )


_OF_HOSTED = tuple(
    field
    for field in msgspec.structs.fields(ModelConfig)
    if field.name not in ("name", "source", "task", "instance")
)
Refuse = Callable[..., NoReturn]
"""Raises with a message and the setting's path within the entry."""


def refuse_misfit(model: ModelConfig, refuse: Refuse, *, hub: bool, region: str | None = None) -> None:
    """Calls `refuse` on what neither this machine nor an account could serve, though each value by itself is right.
    `hub` tells whether the account's network reaches the hub; `region` is where it is deployed to, where that is
    known."""
    if not model.hosted:
        _refuse_local(model, refuse)
        return
    if model.serverless:
        _refuse_serverless(model, refuse, region)
        return
    if model.memory:
        refuse('goes with task = "anatomy" only; leave it out', "memory")
    _refuse_machines(model, refuse)
    _refuse_source(model, refuse, hub)
    _refuse_container(model, refuse, region)
    _refuse_counts(model, refuse)
    _refuse_size(model, refuse)


def _refuse_local(model: ModelConfig, refuse: Refuse) -> None:
    if model.task not in LOCAL_TASKS:
        refuse(
            f"this machine serves {' and '.join(LOCAL_TASKS)} models; host this one in an account: "
            'give it an instance, such as "g6e.xlarge"',
            "task",
        )
    for field in _OF_HOSTED:
        default: Any = {} if field.name == "environment" else field.default
        if getattr(model, field.name) != default:
            refuse(
                'only a hosted model has it; give it an instance, such as "g6e.xlarge", or leave it out',
                field.name,
            )


def _refuse_serverless(model: ModelConfig, refuse: Refuse, region: str | None) -> None:
    if "://" in model.source:
        refuse(
            f"{model.source} would have to be fetched first; bring the model to a directory beside stack.toml, or name "
            "builtin or minilm",
            "source",
        )
    if model.instance:
        refuse("a model taken apart stands on no machine of its own; leave it out, and say memory", "instance")
    if model.memory and model.memory not in SERVERLESS:
        refuse(f"SageMaker has {', '.join(map(str, SERVERLESS))} MB", "memory")
    for field in _OF_HOSTED:
        default: Any = {} if field.name == "environment" else field.default
        if field.name not in ("max", "memory") and getattr(model, field.name) != default:
            refuse("a model taken apart has source, max and memory; leave it out", field.name)
    if region and region not in REGISTRIES:
        refuse(f"AWS keeps no containers for region {region!r}; deploy to another, such as us-east-1", "task")


def _refuse_machines(model: ModelConfig, refuse: Refuse) -> None:
    listed = not isinstance(model.instance, str)
    if len(model.instances) > POOLS:
        refuse(f"an endpoint has at most {POOLS} instance pools", "instance")
    known = [name for name in MACHINES if hosts(name)]
    for index, name in enumerate(model.instances):
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name.removeprefix("ml."), known, n=1, cutoff=0.0)[0]
            where = ("instance", index) if listed else ("instance",)
            refuse(f"SageMaker hosts on no GPU instance {name!r}; did you mean {near!r}?", *where)
        if name in model.instances[:index]:
            refuse(f"{name} is named twice", "instance", index)


def _refuse_source(model: ModelConfig, refuse: Refuse, hub: bool) -> None:
    scheme, _, rest = model.source.partition("://")
    wanted = {"hf": "hf://org/name", "s3": "s3://bucket/prefix"}.get(scheme)
    if wanted is None or "/" not in rest.strip("/"):
        refuse(
            f"an account can't read {model.source!r}; a hosted model comes from hf://org/name[@revision] or "
            "s3://bucket/prefix",
            "source",
        )
    if scheme == "hf" and not hub:
        refuse(
            'the network reaches no hub (training.network.egress is "endpoints"); bring the model to S3 and name it '
            's3://bucket/prefix, or set egress = "nat"',
            "source",
        )


def _refuse_container(model: ModelConfig, refuse: Refuse, region: str | None) -> None:
    if model.ami and model.ami not in AMIS:
        refuse(f"SageMaker has no such machine image; it has {', '.join(AMIS)}", "ami")
    if model.image and ".dkr.ecr." not in model.image:
        refuse("SageMaker pulls from ECR alone; push the image to a repository of the account's", "image")
    cuda = cuda_of(model.image) if model.image else CONTAINERS[model.task].cuda
    ami = model.ami or NEWEST_AMI
    if cuda and not runs(ami, cuda):
        said = f"{model.image or CONTAINERS[model.task].tag} brings CUDA {cuda[0]}.{cuda[1]}"
        good = next((name for name in AMIS if runs(name, cuda)), None)
        if good is None:
            refuse(f"{said}, which no machine image runs; the newest runs {AMIS[NEWEST_AMI][0]}.x", "image")
        refuse(f'{said}, and {ami} runs {AMIS[ami][0]}.x; set ami = "{good}", or leave it out', "ami")
    if region and region not in REGISTRIES and not model.image:
        refuse(
            f"AWS keeps no containers for region {region!r}; deploy to another, such as us-east-1, or give it an "
            "image of your own",
            "instance",
        )


def _refuse_counts(model: ModelConfig, refuse: Refuse) -> None:
    if model.min > model.max:
        refuse(f"at most max, which is {model.max}; set max = {model.min}, or min = {model.max}", "min")
    if model.adapters and model.task not in ADAPTER_TASKS:
        refuse(f"a {model.task} model takes no adapters; leave it out", "adapters")
    fewest = min(MACHINES[name].gpus for name in model.instances)
    if model.gpus & (model.gpus - 1) or model.gpus > fewest:
        fits = [n for n in (1, 2, 4, 8) if n <= fewest]
        refuse(f"a copy is spread over {' or '.join(map(str, fits))} of these machines' GPUs", "gpus")


def _refuse_size(model: ModelConfig, refuse: Refuse) -> None:
    if model.task in MEDIA_TASKS and not model.parameters:
        refuse(
            "say the billions of all parts together, text encoder included: the name tells those of one part",
            "parameters",
        )
    if not model.size.billions:
        refuse(
            f"{model.source} doesn't tell its parameters; set parameters = 4.0 for four billion", "parameters"
        )
    size, context, adapters = model.size, model.tokens, model.adapters
    gpus = model.tensor_parallel
    for name in model.instances:
        have = usable(name, gpus)
        need = needed(size, context, adapters, gpus)
        if need <= have and gpus <= MACHINES[name].gpus:
            continue
        other = machine_for(size, context, adapters, [name for name in MACHINES if hosts(name)])
        instead = (
            f'take instance = "{other}"' if other else "take fewer bytes_per_parameter: a quantized source"
        )
        fits = longest(size, adapters, name, gpus)
        gib = f"{need / GIB:.1f} GiB on {gpus} GPU{'s' * (gpus > 1)} of {name}, where a model may take {have / GIB:.1f}"
        if fits >= 1024:
            refuse(f"{context} tokens need {gib}; set context = {fits}, or {instead}", "context")
        refuse(f"the model needs {gib}; {instead}", "instance")
