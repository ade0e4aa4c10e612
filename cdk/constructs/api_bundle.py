"""The API's code as it travels: the application that runs on a laptop, what starts it, and its limits."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from genai_stack.config import FILE_NAME, ServiceConfig

from .bundles import FUNCTION, ROOT, Target, bundle_function

FOLDER = ROOT / "lambdas" / "api"
START = "run.sh"
READING = ("documents",)
"""A program of its own, which nothing imports: it reads a document for a vector store."""
IN_AN_ACCOUNT = "gateway"
"""The part of `[service]` that speaks of what stands before the application, which never reads it."""


def bundle_api(config: ServiceConfig, into: Path, target: Target = FUNCTION) -> None:
    """A folder that `run.sh` serves: modules, wheels for `target`, byte code, and a stack.toml with the limits that the
    application holds. No Docker."""
    bundle_function(FOLDER / "handler.py", into, target, locked="api", rooms=READING)
    shutil.copy(FOLDER / START, into / START)  # which keeps its mode: it is executed
    told = msgspec.to_builtins(config)
    del told[IN_AN_ACCOUNT]
    lines = [f"{name} = {value}" for name, value in told.items()]
    (into / FILE_NAME).write_text("\n".join(["[service]", *lines, ""]))
