"""What lm-eval was told is told again, and asked no second time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genai_stack.bulk.answers import Answers
from genai_stack.bulk.scores import scores_of


@dataclass(frozen=True)
class Request:
    args: tuple[Any, ...]


class Model:
    """Reports the first `reports` answers of each call to the hook, and then breaks if `breaks`."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.breaks = breaks

    def set_cache_hook(self, hook: Any) -> None:
        self.hook = hook

    def loglikelihood(self, requests: list[Request], **more: Any) -> list[tuple[float, bool]]:
        for number, request in enumerate(requests):
            if self.breaks and number == 2:
                raise RuntimeError("it broke")
            self.asked.append(request.args)
            self.hook.add_partial("loglikelihood", None, (0.0, False))
            self.hook.add_partial("loglikelihood", request.args, (-float(len(request.args[1])), True))
        return [(-float(len(request.args[1])), True) for request in requests]

    loglikelihood_rolling = loglikelihood

    def generate_until(self, requests: list[Request]) -> list[str]:
        self.asked += [request.args for request in requests]
        return [f"said {len(self.asked)}" for _ in requests]


SCORED = [Request(("a", "x" * n)) for n in (1, 2, 3, 2)]


def test_a_broken_evaluation_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first, model = Answers(path), Model(breaks=True)
    first.attach(model)
    try:
        model.loglikelihood(SCORED)
    except RuntimeError:
        assert (first.completed, first.total) == (2, 4)
    first.close()
    with path.open("ab") as torn:
        torn.write(b'{"key": "half')
    second, model = Answers(path), Model()
    second.attach(model)
    assert model.loglikelihood(SCORED) == [(-1.0, True), (-2.0, True), (-3.0, True), (-2.0, True)]
    assert model.asked == [("a", "xxx")]
    assert (second.completed, second.total) == (4, 4)
    assert model.loglikelihood(SCORED)[2] == (-3.0, True)
    assert model.asked == [("a", "xxx")]
    second.close()


def test_what_is_drawn_is_drawn_anew(tmp_path: Path) -> None:
    answers, model = Answers(tmp_path / "answers.jsonl"), Model()
    answers.attach(model)
    greedy, drawn = Request(("q", {"until": ["."]})), Request(("q", {"do_sample": True}))
    assert model.generate_until([greedy, drawn, drawn]) == ["said 3"] * 3
    assert model.generate_until([greedy, drawn]) == ["said 3", "said 4"]
    answers.close()


def test_scores_are_read_from_lm_eval_s_results() -> None:
    found = {
        "results": {
            "t": {
                "alias": "t",
                "acc,none": 0.5,
                "acc_stderr,none": 0.1,
                "f1,strict": 1,
                "f1_stderr,strict": "N/A",
            },
            "g": {"acc,none": 0.25},
        },
        "groups": {"g": {"acc,none": 0.25, "acc_stderr,none": 0.05, "sample_len": 40}},
        "versions": {"t": 1.0},
        "n-shot": {"t": 5},
        "n-samples": {"t": {"original": 100, "effective": 20}},
        "higher_is_better": {"t": {"acc": True}},
    }
    first, second, group = scores_of(found)
    assert (first.task, first.metric, first.value, first.stderr, first.n) == ("t", "acc", 0.5, 0.1, 20)
    assert (first.version, first.num_fewshot, first.higher_is_better, first.group) == ("1.0", 5, True, False)
    assert first.interval == (0.5 - 1.96 * 0.1, 0.5 + 1.96 * 0.1)
    assert (second.metric, second.filter, second.stderr, second.interval) == ("f1", "strict", None, None)
    assert (group.task, group.value, group.n, group.group) == ("g", 0.25, 40, True)
