"""What an evaluation found, from lm-eval's own results: one score per task, metric and filter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .specs import ModelSpec

RESULTS = "results.json"
CONFIDENCE = 1.96
"""Standard errors to either side that hold the true score in 95 of 100 cases."""


class Score(msgspec.Struct, frozen=True):
    """`stderr` is None where the metric has none; `n` counts questions. `group` tells a mean over several tasks."""

    task: str
    metric: str
    value: float
    stderr: float | None
    n: int
    filter: str = "none"
    version: str | None = None
    num_fewshot: int | None = None
    higher_is_better: bool | None = None
    group: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval."""
        if self.stderr is None:
            return None
        return self.value - CONFIDENCE * self.stderr, self.value + CONFIDENCE * self.stderr


class Results(msgspec.Struct, frozen=True):
    """results.json. `config` is the spec's part of what decides a score; `lm_eval` the harness's version."""

    model: ModelSpec
    against: str
    scores: tuple[Score, ...]
    config: dict[str, Any]
    lm_eval: str
    seconds: float


def scores_of(found: Mapping[str, Any]) -> tuple[Score, ...]:
    """The scores in what `lm_eval.evaluator.simple_evaluate` returns, tasks first and then groups."""
    groups = found.get("groups") or {}
    tasks = {name: metrics for name, metrics in found["results"].items() if name not in groups}
    scores: list[Score] = []
    for name, metrics in [*tasks.items(), *groups.items()]:
        for key, value in metrics.items():
            metric, _, filter = key.partition(",")
            if not filter or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            stderr = metrics.get(f"{metric}_stderr,{filter}")
            version = found.get("versions", {}).get(name)
            scores.append(
                Score(
                    task=name,
                    metric=metric,
                    value=float(value),
                    stderr=float(stderr) if isinstance(stderr, int | float) else None,
                    n=_count(found, name, metrics),
                    filter=filter,
                    version=None if version is None else str(version),
                    num_fewshot=found.get("n-shot", {}).get(name),
                    higher_is_better=(found.get("higher_is_better", {}).get(name) or {}).get(metric),
                    group=name in groups,
                )
            )
    return tuple(scores)


def _count(found: Mapping[str, Any], name: str, metrics: Mapping[str, Any]) -> int:
    samples = found.get("n-samples", {}).get(name)
    return int(samples["effective"] if samples else metrics.get("sample_len") or 0)
