"""Files from the hub, or from its cache on this machine: data only, never code and never pickles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..errors import GenAIStackError


def snapshot(
    repo: str, revision: str | None, patterns: Sequence[str], kind: Literal["model", "dataset"]
) -> Path:
    """A directory with the files of `repo` that match `patterns`. Raises GenAIStackError when it can't be had."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise GenAIStackError("the hub takes huggingface-hub; run: pip install 'genai-stack[local]'") from None

    options: dict[str, Any] = {"revision": revision, "allow_patterns": list(patterns), "repo_type": kind}
    try:
        return Path(snapshot_download(repo, **options))
    except Exception as error:  # the hub's errors share no root: transport, repository, revision, offline mode
        raise GenAIStackError(
            f"can't be fetched: {error}; check the name, the revision and the network"
        ) from error
