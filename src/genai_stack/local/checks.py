"""Whether this machine is fit for `genai-stack up` and for training. Looks only, and makes nothing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from genai_stack import settings
from genai_stack.config import StackConfig
from genai_stack.errors import GenAIStackError
from genai_stack.findings import Finding
from genai_stack.sources import resolve

from .home import Home

PYTHONS = ((3, 11), (3, 14))
GB = 1 << 30
LEAST_GB, ENOUGH_GB = 1, 10
"""Of free disk: below the first records can't be kept, below the second a model from the hub may not fit."""
PATIENCE_SECONDS = 120.0
ENGINE = "import openvino, openvino_genai, openvino_tokenizers; print(openvino_genai.__version__)"
TORCH = (
    "import torch; print(torch.__version__, torch.get_num_threads(), "
    "torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU', sep='|')"
)


def examine(home: Path, config: StackConfig, port: int) -> Iterator[Finding]:
    """Of this machine, what a stack in `home` that serves on `port` needs."""
    imports = {text: _started(text) for text in (ENGINE, TORCH)}
    yield _python()
    yield _home(home)
    yield _disk(home)
    yield _port(home, port)
    yield _threads(config)
    yield from (_model(model.name, model.source) for model in config.local_models)
    yield _engine(imports[ENGINE])
    yield _torch(imports[TORCH])


def _python() -> Finding:
    now = sys.version_info[:2]
    found = f"Python {now[0]}.{now[1]}, {sys.executable}"
    if PYTHONS[0] <= now <= PYTHONS[1]:
        return Finding("python", "ok", found)
    (low, high) = (f"{major}.{minor}" for major, minor in PYTHONS)
    return Finding("python", "fail", found, f"install Python {low} to {high} and set the package up anew")


def _home(home: Path) -> Finding:
    there = _nearest(home)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("home", "fail", f"{there} can't be written to", "give --home, or set GENAI_STACK_HOME")
    if there != home:
        return Finding("home", "ok", f"{home} isn't there yet; it is made on first use")
    if home.stat().st_mode & 0o077:
        return Finding("home", "warn", f"{home} is open to others, and holds the key", f"chmod 700 {home}")
    return Finding("home", "ok", str(home))


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(_nearest(home)).free / GB
    found = f"{free:.1f} GB free for {home}"
    if free < LEAST_GB:
        return Finding("disk", "fail", found, "make room, or give --home on another disk")
    if free < ENOUGH_GB:
        return Finding("disk", "warn", found, f"make room before taking a large model: {ENOUGH_GB} GB are well")
    return Finding("disk", "ok", found)


def _port(home: Path, port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            running = Home(home).running() if os.path.isdir(home) else None
            if running and running.base_url and running.base_url.endswith(f":{port}/v1"):
                return Finding("port", "ok", f"this stack answers at {running.base_url}")
            return Finding("port", "warn", f"{port}: {error.strerror}", "take another: genai-stack up --port 0")
    return Finding("port", "ok", f"{port} is free")


def _threads(config: StackConfig) -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = config.local.threads
    if asked > cores:
        return Finding(
            "threads",
            "warn",
            f"{asked} threads on {cores} cores",
            f"set local.threads = {cores}, or 0, in stack.toml",
        )
    return Finding("threads", "ok", f"{asked or cores} threads on {cores} cores")


def _model(name: str, source: str) -> Finding:
    if "://" in source:
        return Finding("model", "ok", f"{name}: {source} is fetched when it is first asked")
    try:
        return Finding("model", "ok", f"{name}: {resolve(source)}")
    except GenAIStackError as error:
        return Finding(
            "model", "fail", f"{name}: {error.message}", "mend its source in stack.toml, or leave it out"
        )


def _started(text: str) -> subprocess.Popen[str]:
    """In a process of its own: a library for another processor ends the process that loads it."""
    return subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=settings.child_environment(),
    )


def _ended(child: subprocess.Popen[str]) -> tuple[bool, str]:
    """Whether it went well, and its last line."""
    with child:
        try:
            out, err = child.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            return False, f"still loading after {PATIENCE_SECONDS:g} seconds"
    told = (out if child.returncode == 0 else err).strip().rpartition("\n")[2]
    return child.returncode == 0, told or f"ended with {child.returncode}"


def _engine(child: subprocess.Popen[str]) -> Finding:
    well, told = _ended(child)
    if well:
        return Finding("engine", "ok", f"OpenVINO GenAI {told}")
    return Finding("engine", "fail", f"the engine doesn't load: {told}", "pip install 'genai-stack[local]'")


def _torch(child: subprocess.Popen[str]) -> Finding:
    well, told = _ended(child)
    if not well:
        return Finding("torch", "warn", f"no training here: {told}", "pip install 'genai-stack[train]'")
    version, threads, device = told.split("|")
    return Finding("torch", "ok", f"{version} on {device}, {threads} threads")


def _nearest(path: Path) -> Path:
    """It, or the first above it that can be seen to be there."""
    return next(one for one in (path, *path.parents) if os.path.exists(one))
