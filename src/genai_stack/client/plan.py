"""From what a person asks to train to the job that does it. The same request gives the same job id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..config import derived_name
from ..errors import Conflict, InvalidSpec
from ..ports import JobRequest, ModelRegistry, ModelVersion
from ..registry import tuned
from .examples import Kept

_SUFFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
ABOUT_THE_RUN = ("seed", "threads", "method")


def fine_tune(
    registry: ModelRegistry,
    base: str,
    suffix: str,
    train: Kept,
    validation: Kept | None,
    options: Mapping[str, Any],
    attempt: int,
    source: Callable[[str], str],
    nodes: int = 1,
    on: str | None = None,
) -> JobRequest:
    """The job that tunes the model `base`; `source` says how jobs read a model's source. `options` are the training
    program's hyperparameters, `seed`, `threads` and `method` ("lora" unless told). Raises InvalidSpec, and NotFound for
    an unknown base."""
    if not _SUFFIX.fullmatch(suffix):
        raise InvalidSpec(f"suffix {suffix!r}: 1 to 40 letters, digits, '.', '_' or '-'; choose another")
    version = registry.get(base)
    if version.task != "chat" or version.base is not None:
        kind = "an adapter" if version.base else f"for {version.task}"
        raise InvalidSpec(f"{base!r} is {kind}; tune a whole chat model")
    about = {key: options[key] for key in ABOUT_THE_RUN if options.get(key) is not None}
    tuned = {key: value for key, value in options.items() if key not in ABOUT_THE_RUN and value is not None}
    spec = {"method": "lora", **about, "name": suffix, "base": source(version.source), "hyperparameters": tuned}
    return _request(spec, train, validation, attempt, version, nodes, on)


def run(
    registry: ModelRegistry,
    spec: Mapping[str, Any],
    train: Kept,
    validation: Kept | None,
    attempt: int,
    nodes: int = 1,
    on: str | None = None,
) -> JobRequest:
    """The job that runs a whole spec. What it makes goes by `ft:<base>:<name>:<id>` when it tunes a base, and by the
    spec's name otherwise; the registry gets an entry for a base it doesn't know."""
    source = str(spec.get("base", "builtin"))
    if source == "scratch":
        return _request(spec, train, validation, attempt, None, nodes, on)
    whole = (v for v in registry.list() if v.source == source and v.base is None and v.task == "chat")
    known = next(whole, None) or _named(registry, derived_name(source), source)
    return _request(spec, train, validation, attempt, known, nodes, on)


def _named(registry: ModelRegistry, name: str, source: str) -> ModelVersion:
    """`source`, live under `name`. Raises Conflict when something else is."""
    made = registry.register(ModelVersion(name, source))
    if (live := registry.get(name)) != made:
        raise Conflict(
            f"{name!r} is live as {live.source}, and not as {source}, which is {made.reference} by now; "
            f"promote that, or tune {name!r}"
        )
    return made


def _request(
    spec: Mapping[str, Any],
    train: Kept,
    validation: Kept | None,
    attempt: int,
    base: ModelVersion | None,
    nodes: int,
    on: str | None,
) -> JobRequest:
    from ..training.spec import parse

    data = {**spec.get("data", {}), "train": str(train.path)}
    if validation:
        data["validation"] = str(validation.path)
    parsed = parse({**spec, "data": data, "output": "output"})
    plain = msgspec.to_builtins(parsed)
    del plain["output"]  # the queue says where
    content = {k: v for k, v in plain.items() if k != "data"}
    content |= {"train": train.sha256, "validation": validation and validation.sha256}
    content |= {"loss": parsed.data.loss, "attempt": attempt, "for": base and base.name}
    content |= {"nodes": nodes} if nodes != 1 else {}
    content |= {"on": on} if on else {}
    digest = hashlib.sha256(msgspec.json.encode(content, order="deterministic")).hexdigest()
    id = f"ftjob-{digest[:12]}"
    if base is None:
        made = ModelVersion(parsed.name, "", job=id, data=train.sha256)
    else:
        made = tuned(base, parsed.name, id, train.sha256, adapter=parsed.adapter)
    return JobRequest(id, "train", plain, made, nodes, on)
