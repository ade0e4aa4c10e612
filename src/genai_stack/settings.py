"""The only reader of the environment. Each function reads its variable when it is called."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """`GENAI_STACK_HOME`, else `~/.genai-stack`: where the local stack keeps its state."""
    return Path(os.environ.get("GENAI_STACK_HOME") or Path.home() / ".genai-stack").expanduser().absolute()


def api_key() -> str | None:
    """`GENAI_STACK_API_KEY`: the key `up` accepts and the client sends."""
    return os.environ.get("GENAI_STACK_API_KEY") or None


def base_url() -> str | None:
    """`GENAI_STACK_BASE_URL`: an API that is already up, such as `https://host/v1`."""
    return os.environ.get("GENAI_STACK_BASE_URL") or None


def stage() -> str:
    """`GENAI_STACK_STAGE`, else `dev`: the deployment a function or a job belongs to."""
    return os.environ.get("GENAI_STACK_STAGE") or "dev"


def child_environment(**extra: str) -> dict[str, str]:
    """This process's environment plus `extra`, for a child process."""
    return {**os.environ, **extra}
