"""lm-eval's `local-completions` through the API and `hf` on the same weights: one task, one score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genai_stack import builtin
from tests.bulk.tasks import harness_here, write_task
from tests.live import Live


def evaluated(
    tasks: Path, model: str, arguments: dict[str, Any], batch: int
) -> tuple[dict[str, Any], list[Any]]:
    """lm-eval's scores of the model, and the log-likelihoods of all that it was asked."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    result: Any = simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=["small_world"],
        batch_size=batch,
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        bootstrap_iters=0,
    )
    found = result["results"]["small_world"]
    scores = {name: value for name, value in found.items() if name.startswith("acc") and "stderr" not in name}
    told = [answer[0][0] for sample in result["samples"]["small_world"] for answer in sample["resps"]]
    return scores, told


@pytest.mark.filterwarnings("ignore")  # what lm-eval and the libraries under it have to say about each other
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_api_and_the_weights_score_the_same(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    harness_here(monkeypatch, tmp_path / "hf")
    monkeypatch.setenv("OPENAI_API_KEY", live.key)
    tasks, weights = write_task(tmp_path / "tasks"), str(builtin.model_dir())
    api = {"model": "builtin", "base_url": f"{live.base_url}/completions", "tokenizer": weights}
    torch = {"pretrained": weights, "device": "cpu", "dtype": "float32"}
    through_api, said = evaluated(tasks, "local-completions", {**api, "num_concurrent": 4}, 1)
    on_weights, theirs = evaluated(tasks, "hf", torch, 16)
    assert through_api == on_weights
    far = max(abs(ours - other) for ours, other in zip(said, theirs, strict=True))
    assert far < 0.01
    print(f"scores {on_weights}; log-likelihoods differ by {far:.4f} at the most")
