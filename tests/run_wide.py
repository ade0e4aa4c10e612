"""What takes long to make is made once for a run, whichever of its processes asks first."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` filled; whoever else asks meanwhile waits for it. Nobody changes what is in it."""
    root = _root(factory)
    folder = root / f"made-{name}"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            partial = root / f"partial-{name}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(folder)
    return folder


def compiled_models(factory: pytest.TempPathFactory) -> Path:
    """The engine's forms of models, for homes to have as their `engine`. Each is named by what it is made of."""
    folder = _root(factory) / "engine"
    folder.mkdir(exist_ok=True)
    return folder


def _root(factory: pytest.TempPathFactory) -> Path:
    own = factory.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own  # xdist's workers have theirs side by side
