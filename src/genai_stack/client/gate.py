"""What a version must have shown before it is promoted: scores from evaluations of that very version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..config import GateConfig
from ..errors import Conflict
from ..ports import ModelVersion
from ..registry import split
from .bulk import EvaluationJob
from .training import Training

JOBS = 1000
"""The newest ones that are looked through."""


class Gate:
    def __init__(self, bounds: Sequence[GateConfig], training: Training, option: str = "") -> None:
        """`option` is what the command line needs to find the place of `training`."""
        self._bounds, self._training, self._option = bounds, training, option

    def check(self, version: ModelVersion) -> None:
        """Raises Conflict, with the score and the bound, when `version` falls short of one, or with the evaluation to
        run when there is no score yet, or none over enough questions."""
        asked = [bound for bound in self._bounds if bound.model in ("", version.name)]
        scores = list(self._scores(version)) if asked else []
        for bound in asked:
            known = [s for s in scores if (s["task"], s["metric"]) == (bound.task, bound.metric)]
            score = next((s for s in known if s.get("n", 0) >= bound.examples), None)
            what = f"{bound.task} {bound.metric}"
            if score is None:
                most = max((s.get("n", 0) for s in known), default=None)
                lacks = f"has no {what}" if most is None else f"has {what} over {most} questions at the most"
                over = f" over {bound.examples}" if most is not None else ""
                raise Conflict(
                    f"{version.reference} {lacks}, and its gate asks for one{over}; "
                    f"run: genai-stack evaluate {version.reference} --tasks {bound.task}{self._option}"
                )
            if bound.at_least is not None and not score["value"] >= bound.at_least:
                raise _refusal(version, what, score["value"], f"at least {bound.at_least:g}")
            if bound.at_most is not None and not score["value"] <= bound.at_most:
                raise _refusal(version, what, score["value"], f"at most {bound.at_most:g}")

    def _scores(self, version: ModelVersion) -> Iterator[dict[str, Any]]:
        """Those of the newest evaluation first. An evaluation names its model by where its files are."""
        for job in self._training.list(limit=JOBS):
            if not isinstance(job, EvaluationJob):
                continue
            record = job.refresh()
            about = record.spec["model"]
            weights = about.get("adapter") or about["source"]
            if record.state == "succeeded" and (split(about["name"])[0], weights) == (
                version.name,
                version.source,
            ):
                yield from job.results()["scores"]


def _refusal(version: ModelVersion, what: str, value: float, bound: str) -> Conflict:
    return Conflict(
        f"{version.reference} has {what} {value:.4g}, and its gate asks for {bound}; promote a better version, or "
        "change [[gate]] in stack.toml"
    )
