"""The API's code as it travels: the application that runs on a laptop, what starts it, and its limits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec

from genai_stack.config import FILE_NAME, ServiceConfig
from genai_stack.task_prompts import TASKS
from genai_stack.task_prompts.overrides import TaskConfig, TasksConfig

from .bundles import FUNCTION, ROOT, Target, bundle_function

FOLDER = ROOT / "lambdas" / "api"
START = "run.sh"
READING = ("documents",)
"""A program of its own, which nothing imports: it reads a document for a vector store."""
IN_AN_ACCOUNT = "gateway"
"""The part of `[service]` that speaks of what stands before the application, which never reads it."""


def bundle_api(
    config: ServiceConfig,
    into: Path,
    target: Target = FUNCTION,
    tasks: TasksConfig = TasksConfig(),  # noqa: B008 - frozen
) -> None:
    """A folder that `run.sh` serves: modules, wheels for `target`, byte code, and a stack.toml with the limits that the
    application holds and the words of its tasks. No Docker."""
    bundle_function(FOLDER / "handler.py", into, target, locked="api", rooms=READING)
    shutil.copy(FOLDER / START, into / START)  # which keeps its mode: it is executed
    told = msgspec.to_builtins(config)
    del told[IN_AN_ACCOUNT]
    lines = [f"{name} = {value}" for name, value in told.items()]
    (into / FILE_NAME).write_text("\n".join(["[service]", *lines, *_words(tasks), ""]), encoding="utf-8")


def _words(tasks: TasksConfig) -> list[str]:
    """`[tasks]` as TOML, whose basic strings are JSON's, but for one character."""
    lines = []
    for task in TASKS:
        told = tasks.of(task)
        given = {name: getattr(told, name) for name in ("model", "prompt", "system", "version")}
        lines.append(f"[tasks.{task}]")
        lines += [
            f"{name} = {_quoted(value)}"
            for name, value in given.items()
            if value not in (None, getattr(TaskConfig(), name))
        ]
        lines.append(f"[tasks.{task}.phrases]")
        lines += [f"{name} = {_quoted(text)}" for name, text in told.phrases.items()]
    return lines


def _quoted(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
