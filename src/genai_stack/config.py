"""`stack.toml`, read once into a frozen `StackConfig`: the one source for the laptop, the client and cdk.

Every setting has a default, so the stack runs without the file. A key that isn't known, or a value of the wrong type
or out of range, is refused with the file, the line and the nearest key that is known; nothing is guessed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from .errors import ConfigError
from .toml_lines import TomlPath, line_of, lines_by_path

FILE_NAME = "stack.toml"
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
Count = Annotated[int, msgspec.Meta(ge=1)]


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[model]]`: a model this stack serves without anyone registering it."""

    name: Name
    """What a request says in `model`: letters, digits and `._:/-`."""
    source: Annotated[str, msgspec.Meta(min_length=1)]
    """`builtin`, `minilm`, a model directory (relative to stack.toml) or `hf://org/name[@revision]`."""
    task: Literal["chat", "embedding"] = "chat"
    """What the model does."""


class LocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[local]`: the model servers on this machine. Each limit holds per model."""

    threads: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Threads a model's engine computes on; 0 lets the model's size decide."""
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
    models: tuple[ModelConfig, ...] = msgspec.field(default=DEFAULT_MODELS, name="model")
    """Naming any model replaces the default ones. The first chat model is the one used when none is asked for."""

    @property
    def default_model(self) -> str | None:
        """The first chat model's name; None when only embedding models are configured."""
        return next((m.name for m in self.models if m.task == "chat"), None)

    def serving(self, model: str) -> StackConfig:
        """This configuration with `model` as its default: a configured name, or a new entry for a directory, `builtin`
        or hf:// source, named after it. Raises ConfigError when that name is taken by another source."""
        known = next((m for m in self.models if m.name == model), None)
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


def load_config(path: Path | None = None) -> StackConfig:
    """The configuration in `path`; without a path, every default. Raises ConfigError."""
    if path is None:
        return StackConfig()
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"isn't UTF-8 text: {error.reason}", file=str(path)) from None
    except OSError as error:
        raise ConfigError(f"can't be read: {error.strerror}", file=str(path)) from None
    return parse_config(text, str(path), base=path.parent)


def parse_config(text: str, file: str = FILE_NAME, *, base: Path | None = None) -> StackConfig:
    """The configuration in `text`; model directories are taken relative to `base`. Raises ConfigError."""
    import tomllib

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r" \(at (?:line (\d+)|end of document).*\)$", str(error))
        line = int(at[1]) if at and at[1] else text.count("\n") + 1
        raise ConfigError(str(error)[: at.start() if at else None], file=file, line=line) from None
    lines = lines_by_path(text)
    _refuse_unknown(raw, StackConfig, (), lines, file)
    try:
        config = msgspec.convert(raw, StackConfig)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        path = _path(where.rstrip("`"))
        raise ConfigError(f"{_dotted(path)}: {message}", file=file, line=line_of(lines, path)) from None
    _refuse_twins(config, lines, file)
    where_from = base or Path.cwd()
    models = tuple(msgspec.structs.replace(m, source=_absolute(m.source, where_from)) for m in config.models)
    return msgspec.structs.replace(config, models=models)


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


def _absolute(source: str, base: Path) -> str:
    if source in ("builtin", "minilm") or source.startswith("hf://"):
        return source
    return str((base / Path(source).expanduser()).absolute())


def _path(text: str) -> TomlPath:
    """msgspec's `.model[0].name` as a path."""
    return tuple(int(index) if index else key for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", text))


def _dotted(path: TomlPath) -> str:
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")
