"""`[tasks.<task>]` of stack.toml: another model or other words for a task, read once and checked when they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec

from . import TASKS, Misfit, Prompt, Task, overridden

Refuse = Callable[..., NoReturn]
"""Raises with a message and the setting's path."""
Parse = Callable[[str, str], dict[str, Any]]
"""What a PromptFile of that text and name says. Raises ConfigError."""


class TaskConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[tasks.<task>]`. What is left out is as shipped."""

    model: str = ""
    """The chat model of a request that names none; empty: the first chat model."""
    prompt: str = ""
    """The user's turn, with places such as {text}."""
    system: str | None = None
    """The system turn; "" for none."""
    phrases: dict[str, str] = {}
    """The words that a request's parameters choose."""
    file: str = ""
    """A TOML file with `user`, `system`, `phrases` and `version`, relative to stack.toml, instead."""
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """The words' own version."""


class PromptFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `file` may say."""

    user: str = ""
    system: str | None = None
    phrases: dict[str, str] = {}
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None


class TasksConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tasks]`: what the task routes say to a model."""

    summarize: TaskConfig = TaskConfig()
    answer: TaskConfig = TaskConfig()
    classify: TaskConfig = TaskConfig()
    translate: TaskConfig = TaskConfig()
    extract: TaskConfig = TaskConfig()
    rewrite: TaskConfig = TaskConfig()
    assistant: TaskConfig = TaskConfig()

    def of(self, task: Task) -> TaskConfig:
        found: TaskConfig = getattr(self, task)
        return found

    def prompt(self, task: Task) -> Prompt:
        """Raises Misfit, but not for a configuration that was loaded."""
        return overridden(task, _told(self.of(task)))


def settled(config: TasksConfig, base: Path, refuse: Refuse, parse: Parse) -> TasksConfig:
    """The configuration with what its files say in it, all of it checked."""
    made = {}
    for task in TASKS:
        own = config.of(task)
        if own.file:
            own = _read(task, own, base, refuse, parse)
        else:
            try:
                overridden(task, _told(own))
            except Misfit as error:
                refuse(str(error), "tasks", task, *("prompt" if key == "user" else key for key in error.key))
        made[task] = own
    return TasksConfig(**made)


def _read(task: Task, own: TaskConfig, base: Path, refuse: Refuse, parse: Parse) -> TaskConfig:
    for name in ("prompt", "system", "phrases", "version"):
        if getattr(own, name):
            refuse("comes beside file; keep one of them", "tasks", task, name)
    path = base / Path(own.file).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        refuse(f"{path} can't be read: {error}", "tasks", task, "file")
    told = parse(text, str(path))
    try:
        overridden(task, told)
    except Misfit as error:
        refuse(f"{path}: {'.'.join(error.key)}: {error}", "tasks", task, "file")
    return TaskConfig(
        own.model,
        told.get("user", ""),
        told.get("system"),
        told.get("phrases", {}),
        version=told.get("version"),
    )


def _told(own: TaskConfig) -> dict[str, Any]:
    told: dict[str, Any] = {"phrases": own.phrases}
    if own.prompt:
        told["user"] = own.prompt
    if own.system is not None:
        told["system"] = own.system
    if own.version is not None:
        told["version"] = own.version
    return told
