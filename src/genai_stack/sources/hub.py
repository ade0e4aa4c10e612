"""Files from the hub, or from its cache on this machine: data only, never code and never pickles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..errors import GenAIStackError

_COMMIT = re.compile(r"[0-9a-f]{40}")


def commit(repo: str, revision: str | None, kind: Literal["model", "dataset"]) -> str:
    """The commit that `revision` (the main branch unless given) stands for now; the hub is asked unless it is one.
    Raises GenAIStackError when it can't tell."""
    if revision and _COMMIT.fullmatch(revision):
        return revision
    api = _hub().HfApi()
    try:
        return str(api.repo_info(repo, revision=revision, repo_type=kind).sha)
    except Exception as error:  # the hub's errors share no root: transport, repository, revision, offline mode
        raise GenAIStackError(
            f"can't be found on the hub: {error}; check the name, the revision and the network, or name a commit"
        ) from error


def snapshot(
    repo: str, revision: str | None, patterns: Sequence[str], kind: Literal["model", "dataset"]
) -> Path:
    """A directory with the files of `repo` that match `patterns`. Raises GenAIStackError when it can't be had."""
    snapshot_download = _hub().snapshot_download
    options: dict[str, Any] = {"revision": revision, "allow_patterns": list(patterns), "repo_type": kind}
    try:
        return Path(snapshot_download(repo, **options))
    except Exception as error:  # the hub's errors share no root: transport, repository, revision, offline mode
        raise GenAIStackError(
            f"can't be fetched: {error}; check the name, the revision and the network"
        ) from error


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise GenAIStackError("the hub takes huggingface-hub; run: pip install 'genai-stack[local]'") from None
    return huggingface_hub
