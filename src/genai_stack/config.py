"""`stack.toml`, read once into a frozen `StackConfig`: the one source for the laptop, the client and cdk.

Every setting has a default, so the stack runs without the file. A key that isn't known, or a value of the wrong type
or out of range, is refused with the file, the line and the nearest key that is known; nothing is guessed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from .catalogue import ModelConfig, refuse_misfit
from .choices import refuse_large
from .errors import ConfigError
from .gateway import GatewayConfig, refuse_nowhere
from .machines import MACHINES, Machine
from .metering import PriceConfig, TenantConfig, refuse_prices, refuse_tenants
from .task_prompts.overrides import PromptFile, TasksConfig, settled
from .toml_lines import TomlPath, line_of, lines_by_path

FILE_NAME = "stack.toml"
Count = Annotated[int, msgspec.Meta(ge=1)]
S = TypeVar("S", bound=msgspec.Struct)


class LocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[local]`: the model servers on this machine. Each limit holds per model."""

    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Threads a model's engine computes on; 0 takes every core."""
    precision: Literal["int8", "f32"] = "int8"
    """`int8` is fast; `f32` computes as the training program does, for exact comparisons."""
    kv_cache_mb: Count = 512
    """Memory for keys and values of running and cached sequences, in MiB."""
    max_running: Count = 64
    """Sequences that share one batch."""
    max_waiting: Annotated[int, msgspec.Meta(ge=0)] = 256
    """Requests that wait for a place in the batch; one more gets 429."""
    max_adapters: Count = 4
    """Adapters a base model's server keeps loaded; the one used least lately makes room for another."""


class ServiceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[service]`: the API."""

    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 16 * 1024 * 1024
    """A request body over this gets 413."""
    max_file_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 8 * 1024 * 1024 * 1024
    """A file over this gets 413, whether it comes whole or in parts."""
    max_concurrent: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 512
    """Requests to models that one process has running; a quarter of that may wait for a place, more get 429."""
    max_wait_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 0.25
    """For a place. Who would wait longer gets 429, and so does everyone while the process itself is that late, or 2 s
    where that is more."""
    gateway: GatewayConfig = GatewayConfig()


class GateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[gate]]`: a score that a version must have before it is promoted, from an evaluation of that version."""

    task: Annotated[str, msgspec.Meta(min_length=1)]
    """The task, as lm-eval and `genai-stack evaluate` name it."""
    metric: Annotated[str, msgspec.Meta(min_length=1)]
    """The metric among the task's scores: "acc", "exact_match"."""
    model: str = ""
    """The model name that is gated; empty: every one."""
    at_least: float | None = None
    """A lower score is refused; without a bound any score will do."""
    at_most: float | None = None
    """A higher score is refused, where lower is better."""
    examples: Count = 100
    """Questions that the score must rest on: an evaluation of fewer (`--limit`) doesn't count."""


Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[training.network]`: how the machines that train reach images, logs and the hub. Nothing reaches them."""

    cidr: Annotated[str, msgspec.Meta(pattern=r"^\d{1,3}(\.\d{1,3}){3}/(1[6-9]|20)$")] = "10.20.0.0/16"
    """The private range; /16 to /20."""
    zones: Annotated[int, msgspec.Meta(ge=2, le=3)] = 2
    """Availability zones with subnets. More zones find more spot capacity; they cost nothing."""
    egress: Literal["public", "nat", "endpoints"] = "public"
    """`public`: each machine has an address of its own while it lives; costs nothing while idle; the programs of
    multi-node jobs reach S3 alone. `nat`: private machines behind NAT gateways, which are billed by the hour.
    `endpoints`: private machines that reach AWS alone, by interface endpoints, billed by the hour too; models and data
    come from S3."""
    nat_gateways: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1
    """How many, where `egress` is `nat`; at most one for each zone."""
    endpoints: tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9.-]+$")], ...] = ()
    """Interface endpoints beyond what `egress` asks for, by service: "sts", "ssm". Each is billed by the hour."""


class SpotConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[training.spot]`: the queue for jobs of one machine, on spot capacity."""

    instances: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=10)] = (
        "g6e.2xlarge",
        "g6e.4xlarge",
        "g6e.8xlarge",
    )
    """Instance types a job may get, smallest first: a job asks for the whole of the first."""
    max_vcpus: Count = 64
    """vCPUs of all machines together; what is over it waits in the queue."""
    bid_percent: Percent = 100
    """The most to pay, in percent of the on-demand price. 100 is never outbid by price alone."""


class MultiNodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[training.multi_node]`: the queue for jobs of several machines, on demand, over elastic fabric adapters."""

    instance: str = "g6e.12xlarge"
    """The one instance type of all nodes; it needs an elastic fabric adapter."""
    nodes: Annotated[int, msgspec.Meta(ge=2, le=1000)] = 2
    """Nodes of a job that doesn't say."""
    max_vcpus: Count = 192
    """vCPUs of all machines together; room for one job of `nodes` at the least. A job that asks for more nodes than
    fit never starts."""
    zone: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1
    """The zone (1 is the network's first) all nodes share, as a placement group asks. A reservation's own zone."""
    capacity_reservation: Annotated[str, msgspec.Meta(pattern=r"^(cr-[0-9a-f]{8,17})?$")] = ""
    """The id of a capacity reservation or capacity block (`cr-…`) to run in; empty takes what is free."""
    capacity_block: bool = False
    """Whether that reservation is a capacity block for ML."""


class BudgetConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[training.budget]`: what the account may spend on EC2 machines in a month before both fleets stop."""

    monthly_usd: Annotated[int, msgspec.Meta(ge=0)] = 500
    """At this sum the queues take no job and the compute environments start none: running jobs go on, waiting ones
    wait. 0 leaves the budget out."""
    warn_percent: Percent = 80
    """A warning goes out at this share of it."""


class TrainingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[training]`: the bottom layer in an account. On this machine nothing of it is read."""

    image: Annotated[str, msgspec.Meta(pattern=r"^[^\s]*$")] = ""
    """The container image of every job, as a full URI; empty takes AWS's Hugging Face training container."""
    disk_gb: Annotated[int, msgspec.Meta(ge=100, le=16384)] = 200
    """Disk of each machine in GiB: the image takes about 30, base models and checkpoints the rest."""
    max_hours: Annotated[int, msgspec.Meta(ge=1, le=720)] = 24
    """An attempt of a job that runs longer is ended."""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 5
    """Attempts of a job that loses its machine or asks to be run again; each resumes from the last checkpoint."""
    capacity_wait_minutes: Annotated[int, msgspec.Meta(ge=10, le=1440)] = 240
    """A job that waits longer for capacity is cancelled."""
    log_days: Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731] = 30
    """Days that logs are kept."""
    alarm_email: Annotated[str, msgspec.Meta(pattern=r"^([^@\s]+@[^@\s]+)?$")] = ""
    """Where alarms and the budget's warnings go; empty leaves them on the dashboard and the topic."""
    mlflow: Annotated[str, msgspec.Meta(pattern=r"^[^\s]*$")] = ""
    """The MLflow server that training jobs tell what they do, as `MLFLOW_TRACKING_URI` has it; empty for none. They
    must reach it without credentials of their own."""
    retain_data: bool = True
    """Whether buckets, records and the key outlive the stack when it is destroyed."""
    network: NetworkConfig = NetworkConfig()
    spot: SpotConfig = SpotConfig()
    multi_node: MultiNodeConfig = MultiNodeConfig()
    budget: BudgetConfig = BudgetConfig()


DEFAULT_MODELS = (
    ModelConfig("builtin", "builtin"),
    ModelConfig("all-minilm-l6-v2", "minilm", "embedding"),
)


class StackConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `stack.toml`."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}$")] = "genai-stack"
    """What this stack calls itself where it introduces itself."""
    local: LocalConfig = LocalConfig()
    service: ServiceConfig = ServiceConfig()
    training: TrainingConfig = TrainingConfig()
    tasks: TasksConfig = TasksConfig()
    """What the task routes say to a model, and which model they ask."""
    prices: tuple[PriceConfig, ...] = msgspec.field(default=(), name="price")
    """What tokens cost, by model."""
    tenants: tuple[TenantConfig, ...] = msgspec.field(default=(), name="tenant")
    """What tenants may use, all their keys together."""
    gates: tuple[GateConfig, ...] = msgspec.field(default=(), name="gate")
    """What a version must have shown before it is promoted; all that name its model."""
    models: tuple[ModelConfig, ...] = msgspec.field(default=DEFAULT_MODELS, name="model")
    """Naming any model replaces the default ones. The first chat model is the one used when none is asked for."""

    @property
    def local_models(self) -> tuple[ModelConfig, ...]:
        """The models this machine serves: those that no account hosts."""
        return tuple(m for m in self.models if not m.hosted)

    @property
    def hosted_models(self) -> tuple[ModelConfig, ...]:
        """The models an account hosts: those with an instance. This machine doesn't serve them."""
        return tuple(m for m in self.models if m.hosted and not m.serverless)

    @property
    def serverless_models(self) -> tuple[ModelConfig, ...]:
        """Those that an account hosts without an instance."""
        return tuple(m for m in self.models if m.serverless)

    @property
    def default_model(self) -> str | None:
        """The first chat model's name that this machine serves; None when there is none."""
        return next((m.name for m in self.local_models if m.task == "chat"), None)

    def serving(self, model: str) -> StackConfig:
        """This configuration with `model` as its default: a configured name, or a new entry for a directory, `builtin`
        or hf:// source, named after it. Raises ConfigError when that name is taken by another source."""
        known = next((m for m in self.models if m.name == model), None)
        if known is not None and known.hosted:
            where = known.instances[0] if known.instances else "serverless processors"
            raise ConfigError(
                f"{model} is hosted in an account (on {where}), and this machine doesn't serve it; "
                f"serve its source, {known.source}, or name an entry of {FILE_NAME} without an instance"
            )
        chosen = known or ModelConfig(derived_name(model), _absolute(model, Path.cwd()))
        taken = next((m for m in self.models if m.name == chosen.name), chosen)
        if taken.source != chosen.source:
            raise ConfigError(
                f"{model} would be served as {chosen.name!r}, which is {taken.source} already; "
                f"give it a name of its own in {FILE_NAME}"
            )
        rest = tuple(m for m in self.models if m.name != chosen.name)
        return msgspec.structs.replace(self, models=(taken, *rest))


def derived_name(source: str) -> str:
    """The model name a source goes by: a directory's own name, a repository's last part, without the revision."""
    last = source.partition("@")[0] if source.startswith("hf://") else str(Path(source).expanduser().absolute())
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last.rstrip("/").rpartition("/")[2]).strip("-._")
    if not name:
        raise ConfigError(f"{source!r} gives no model name; name it in {FILE_NAME}")
    return name


def find_config(directory: Path | None = None) -> Path | None:
    """`stack.toml` in `directory` (the current one unless told), if it is there."""
    path = (directory or Path.cwd()) / FILE_NAME
    return path if path.is_file() else None


def load_config(path: Path | None = None, *, region: str | None = None) -> StackConfig:
    """The configuration in `path`; without a path, every default. `region` is where it is deployed to, where that is
    known: then what the region lacks is refused too. Raises ConfigError."""
    if path is None:
        return StackConfig()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"isn't UTF-8 text: {error.reason}", file=str(path)) from None
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", file=str(path)) from None
    return parse_config(text, str(path), base=path.parent, region=region)


def parse_config(
    text: str, file: str = FILE_NAME, *, base: Path | None = None, region: str | None = None
) -> StackConfig:
    """The configuration in `text`; model directories are taken relative to `base`. Raises ConfigError."""
    config, lines = _parsed(text, StackConfig, file)
    _refuse_twins(config, lines, file)
    _refuse_metering(config, lines, file)
    _refuse_misfits(config.training, lines, file)
    _refuse_address(config.service.gateway, lines, file, region)
    _refuse_models(config, lines, file, region)
    where_from = base or Path.cwd()
    models = tuple(msgspec.structs.replace(m, source=_absolute(m.source, where_from)) for m in config.models)

    def refuse(message: str, *path: str | int) -> NoReturn:
        raise ConfigError(f"{_dotted(path)}: {message}", file=file, line=line_of(lines, path))

    tasks = settled(config.tasks, where_from, refuse, _prompt_file)
    return msgspec.structs.replace(config, models=models, tasks=tasks)


def _prompt_file(text: str, file: str) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(_parsed(text, PromptFile, file)[0])
    return given


def _parsed(text: str, kind: type[S], file: str) -> tuple[S, dict[TomlPath, int]]:
    """What the TOML in `text` says, and on which line each key stands. Raises ConfigError."""
    import tomllib

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at (?:line (\d+)|end of document).*\)$", str(error))
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        raise ConfigError(str(error)[: at.start() if at else None], file=file, line=line) from None
    lines = lines_by_path(text)
    _refuse_unknown(raw, kind, (), lines, file)
    try:
        return msgspec.convert(raw, kind), lines
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        path = _path(where.rstrip("`"))
        raise ConfigError(f"{_dotted(path)}: {message}", file=file, line=line_of(lines, path)) from None


def _refuse_unknown(value: Any, type_: Any, path: TomlPath, lines: dict[TomlPath, int], file: str) -> None:
    if get_origin(type_) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unknown(item, get_args(type_)[0], (*path, index), lines, file)
    elif isinstance(type_, type) and issubclass(type_, msgspec.Struct) and isinstance(value, dict):
        hints = get_type_hints(type_)
        known = {field.encode_name: hints[field.name] for field in msgspec.structs.fields(type_)}
        for key, item in value.items():
            if key not in known:
                from difflib import get_close_matches

                near = get_close_matches(key, known, n=1, cutoff=0.0)[0]
                table = f"[{_dotted(path)}]" if path else "the top level"
                raise ConfigError(
                    f"unknown key {key!r} in {table}; did you mean {near!r}? (known: {', '.join(known)})",
                    file=file,
                    line=line_of(lines, (*path, key)),
                )
            _refuse_unknown(item, known[key], (*path, key), lines, file)


def _refuse_twins(config: StackConfig, lines: dict[TomlPath, int], file: str) -> None:
    seen: set[str] = set()
    for index, model in enumerate(config.models):
        if model.name in seen:
            line = line_of(lines, ("model", index, "name"))
            raise ConfigError(
                f"two models are named {model.name!r}; a name is given once", file=file, line=line
            )
        seen.add(model.name)


def _refuse_metering(config: StackConfig, lines: dict[TomlPath, int], file: str) -> None:
    def refuse(message: str, *path: str | int) -> NoReturn:
        raise ConfigError(f"{_dotted(path)}: {message}", file=file, line=line_of(lines, path))

    refuse_prices(config.prices, refuse)
    refuse_tenants(config.tenants, refuse)


def _refuse_misfits(training: TrainingConfig, lines: dict[TomlPath, int], file: str) -> None:
    """What no account could run, though each value by itself is right."""

    def refuse(message: str, *path: str | int) -> NoReturn:
        where = ("training", *path)
        raise ConfigError(f"{_dotted(where)}: {message}", file=file, line=line_of(lines, where))

    def machine(name: str, *path: str | int) -> Machine:
        if name not in MACHINES:
            from difflib import get_close_matches

            near = get_close_matches(name, MACHINES, n=1, cutoff=0.0)[0]
            refuse(f"no known GPU instance {name!r}; did you mean {near!r}?", *path)
        return MACHINES[name]

    network, spot, many = training.network, training.spot, training.multi_node
    if network.egress == "nat" and network.nat_gateways > network.zones:
        refuse(f"at most one for each of the {network.zones} zones", "network", "nat_gateways")
    first = machine(spot.instances[0], "spot", "instances", 0)
    for index, name in enumerate(spot.instances):
        other = machine(name, "spot", "instances", index)
        if other.gpus < first.gpus or other.vcpus < first.vcpus or other.memory < first.memory:
            refuse(f"{name} is smaller than {spot.instances[0]}; name the smallest first", "spot", "instances")
        if other.vcpus > spot.max_vcpus:
            refuse(f"{name} has {other.vcpus} vCPUs and would never start", "spot", "max_vcpus")
    node = machine(many.instance, "multi_node", "instance")
    if not node.efas:
        refuse(f"{many.instance} has no elastic fabric adapter; g6e.12xlarge has", "multi_node", "instance")
    if node.vcpus * many.nodes > many.max_vcpus:
        need = node.vcpus * many.nodes
        refuse(f"{many.nodes} nodes of {many.instance} need {need}", "multi_node", "max_vcpus")
    if many.zone > network.zones:
        refuse(f"the network has {network.zones} zones", "multi_node", "zone")
    if many.capacity_block and not many.capacity_reservation:
        refuse("name the block's cr-… in capacity_reservation", "multi_node", "capacity_block")


def _refuse_address(gateway: GatewayConfig, lines: dict[TomlPath, int], file: str, region: str | None) -> None:
    def refuse(message: str, name: str) -> NoReturn:
        where = ("service", "gateway", name)
        raise ConfigError(f"{_dotted(where)}: {message}", file=file, line=line_of(lines, where))

    refuse_nowhere(gateway, refuse, region)


def _refuse_models(config: StackConfig, lines: dict[TomlPath, int], file: str, region: str | None) -> None:
    hub = config.training.network.egress != "endpoints"
    for index, model in enumerate(config.models):

        def refuse(message: str, *path: str | int, index: int = index) -> NoReturn:
            where = ("model", index, *path)
            raise ConfigError(f"{_dotted(where)}: {message}", file=file, line=line_of(lines, where))

        refuse_misfit(model, refuse, hub=hub, region=region)
        if model.instance:
            refuse_large(model, refuse)


def _absolute(source: str, base: Path) -> str:
    if source in ("builtin", "minilm") or "://" in source:
        return source
    return str((base / Path(source).expanduser()).absolute())


def _path(text: str) -> TomlPath:
    """msgspec's `.model[0].name` as a path."""
    return tuple(int(index) if index else key for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", text))


def _dotted(path: TomlPath) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")
