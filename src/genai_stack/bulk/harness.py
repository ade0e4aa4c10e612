"""lm-eval as this stack drives it: which tasks there are, and a model for them behind the API or in torch."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import GenAIStackError, InvalidSpec
from ..loading import uncollected
from ..sources import resolve
from . import task_files
from .specs import EvaluationSpec

BOOTSTRAP = 1000
"""Draws behind the standard error of a metric that has no formula for it."""
REQUEST_SECONDS = 900
TRIES = 5


def require_harness() -> None:
    """Raises GenAIStackError where lm-eval isn't installed."""
    try:
        import lm_eval.models  # noqa: F401
    except ImportError as error:
        raise GenAIStackError(f"{error}; run: pip install 'genai-stack[eval]'") from None
    logging.getLogger("lm_eval").setLevel(logging.ERROR)


def find_tasks(spec: EvaluationSpec) -> Any:
    """lm-eval's task manager that knows every task of the spec: of `task_dir` alone where that has them all, since
    reading lm-eval's own takes half a minute. Raises InvalidSpec with the nearest name for one that nobody has."""
    with uncollected():
        from lm_eval.tasks import TaskManager

    directories = [task_files.shipped()]
    if spec.task_dir is not None:
        if not Path(spec.task_dir).is_dir():
            raise InvalidSpec(
                f"task_dir: there is no directory {spec.task_dir}; name one with task definitions"
            )
        manager = TaskManager(include_path=spec.task_dir, include_defaults=False)
        if all(task in manager.all_tasks for task in spec.tasks):
            return manager
        directories.append(Path(spec.task_dir))
    unknown, names = task_files.unmentioned(spec.tasks, directories)
    if unknown:
        raise _no_task(unknown[0], names)
    manager = TaskManager(include_path=spec.task_dir)
    for task in spec.tasks:
        if task not in manager.all_tasks:
            raise _no_task(task, manager.all_tasks)
    return manager


def behind_api(spec: EvaluationSpec, base_url: str, key: str) -> Any:
    """The model as the API serves it, at `base_url` (ending in /v1). Its tokenizer is read from its source."""
    directory = resolve(spec.model.source)
    return _kind("local-completions")(
        model=spec.model.name,
        base_url=f"{base_url}/completions",
        tokenizer=str(directory),
        tokenizer_backend="huggingface",
        num_concurrent=spec.max_in_flight,
        max_length=_context(directory),
        max_retries=TRIES,
        timeout=REQUEST_SECONDS,
        seed=spec.seed,
        header={"Authorization": f"Bearer {key}"},
    )


def on_weights(spec: EvaluationSpec) -> Any:
    """The model in torch, with its adapter: float32 on a CPU, and as it was saved on a GPU."""
    try:
        import torch
    except ImportError as error:
        raise GenAIStackError(f"{error}; run: pip install 'genai-stack[train]'") from None
    if spec.threads:
        torch.set_num_threads(spec.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return _kind("hf")(
        pretrained=str(resolve(spec.model.source)),
        peft=str(resolve(spec.model.adapter)) if spec.model.adapter else None,
        device=device,
        dtype="float32" if device == "cpu" else "auto",
        batch_size=spec.batch_size,
        trust_remote_code=False,
    )


def _kind(name: str) -> Any:
    """lm-eval's class of models of that name."""
    with uncollected():
        from lm_eval.api.registry import get_model

        return get_model(name)


def evaluate(spec: EvaluationSpec, lm: Any, manager: Any) -> dict[str, Any]:
    """lm-eval's results. Raises InvalidSpec for a task this stack won't run, and what a task's data set raises."""
    from lm_eval import simple_evaluate

    try:
        found: dict[str, Any] = simple_evaluate(
            model=lm,
            tasks=list(spec.tasks),
            num_fewshot=spec.num_fewshot,
            limit=spec.limit,
            task_manager=manager,
            bootstrap_iters=BOOTSTRAP,
            log_samples=False,
            fewshot_random_seed=spec.seed,
            verbosity=None,
        )
    except ValueError as error:
        if "unsafe" in str(error) or "multimodal" in str(error) or "Duplicate task" in str(error):
            raise InvalidSpec(f"tasks: {error}") from None
        raise
    return found


def version() -> str:
    from importlib.metadata import version as of

    return of("lm_eval")


def _no_task(task: str, known: Iterable[str]) -> InvalidSpec:
    names = list(known)
    near = difflib.get_close_matches(task, names, n=3, cutoff=0.6) or difflib.get_close_matches(
        task, names, 1, 0.0
    )
    nearest = " or ".join(repr(name) for name in near)
    return InvalidSpec(f"tasks: no task {task!r}; did you mean {nearest}?")


def _context(directory: Path) -> int:
    config = json.loads((directory / "config.json").read_bytes())
    return int(config.get("max_position_embeddings") or 2048)
