"""Batches and evaluations from the client: checked, kept, and the same job for the same request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack.client.bulk import AsyncBatchJob, AsyncEvaluationJob, BatchJob, EvaluationJob
from genai_stack.client.places import ThisMachine
from genai_stack.client.training import AsyncTraining, Training
from genai_stack.errors import InvalidData, InvalidSpec, JobFailed, NotFound
from genai_stack.ports import ModelVersion
from tests.client.fakes import make_services


def made(home: Path, *script: str) -> Training:
    return Training(make_services(home, *script), ThisMachine(home / "data"))


def request(training: Training, id: str) -> Any:
    return training._services.jobs.requests[id]  # type: ignore[attr-defined]


def line(id: str, model: str = "builtin", url: str = "/v1/chat/completions") -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    if url == "/v1/embeddings":
        body = {"model": model, "input": "hi"}
    return {"custom_id": id, "method": "POST", "url": url, "body": body}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "t.yaml").write_text("task: t\n")
    return tmp_path / "tasks"


def test_a_batch_becomes_a_job(home: Path, tmp_path: Path) -> None:
    training = made(home)
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(line("a")) + "\n")
    job = training.batch("builtin", file, max_in_flight=8)
    asked = request(training, job.id)
    assert (asked.kind, asked.on_success) == ("batch", None)
    assert asked.spec["model"] == {"name": "builtin", "source": "builtin", "adapter": None}
    assert (asked.spec["endpoint"], asked.spec["max_in_flight"]) == ("/v1/chat/completions", 8)
    assert "output" not in asked.spec
    kept = Path(asked.spec["input"])
    file.write_text("changed")
    assert json.loads(kept.read_text()) == line("a")
    assert isinstance(training.get(job.id), BatchJob)
    assert [type(found) for found in training.list()] == [BatchJob]


def test_the_same_request_is_the_same_job(home: Path, tasks: Path) -> None:
    training = made(home)
    first = training.batch("builtin", [line("a")])
    assert training.batch("builtin", [line("a")]).id == first.id
    assert (
        first.id
        != training.batch("builtin", [line("b")]).id
        != training.batch("builtin", [line("b")], threads=2).id
    )
    scored = training.evaluate("builtin", tasks="t", task_dir=tasks, limit=3)
    assert training.evaluate("builtin", ["t"], task_dir=str(tasks), limit=3, against=None).id == scored.id
    assert training.evaluate("builtin", ["t"], task_dir=tasks, limit=4).id != scored.id
    (tasks / "t.yaml").write_text("task: t\nother: 1\n")
    assert training.evaluate("builtin", ["t"], task_dir=tasks, limit=3).id != scored.id


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_job_that_came_to_nothing_is_tried_anew(home: Path, end: str) -> None:
    training = made(home, "running", end)
    first = training.evaluate("builtin", ["t"])
    with pytest.raises(JobFailed, match=f"{first.id} {end}"):
        first.wait(progress=False)
    with pytest.raises(JobFailed):
        first.results()
    assert training.evaluate("builtin", ["t"]).id != first.id


def test_an_adapter_runs_on_its_base(home: Path, tmp_path: Path) -> None:
    training = made(home)
    training._services.registry.register(ModelVersion("ft:x", "/adapter", base="builtin"))
    job = training.batch("ft:x", [line("a", "ft:x")])
    model = {"name": "ft:x", "source": "builtin", "adapter": "/adapter"}
    assert request(training, job.id).spec["model"] == model
    assert request(training, training.evaluate("ft:x", ["t"]).id).spec["model"] == model


def test_what_can_t_run_is_refused_before_anything_is_submitted(home: Path) -> None:
    training = made(home)
    with pytest.raises(InvalidData, match=r"requests: 1 fault\n  line 2: custom_id 'a'"):
        training.batch("builtin", [line("a"), line("a")])
    with pytest.raises(InvalidData, match=r"line 1: body\.model 'other' isn't 'builtin'"):
        training.batch("builtin", [line("a", "other")])
    with pytest.raises(InvalidData, match="nowhere"):
        training.batch("builtin", "nowhere.jsonl")
    with pytest.raises(InvalidSpec, match="take an embedding model"):
        training.batch("builtin", [line("a", url="/v1/embeddings")])
    with pytest.raises(InvalidSpec, match="take a chat model"):
        training.batch("all-minilm-l6-v2", [line("a", "all-minilm-l6-v2")])
    with pytest.raises(NotFound, match="nope"):
        training.batch("nope", [line("a", "nope")])
    with pytest.raises(InvalidSpec, match="did you mean 'max_in_flight'"):
        training.batch("builtin", [line("a")], max_inflight=2)
    with pytest.raises(InvalidSpec, match="is for embedding"):
        training.evaluate("all-minilm-l6-v2", ["t"])
    with pytest.raises(InvalidSpec, match="no directory"):
        training.evaluate("builtin", ["t"], task_dir="/nowhere")
    assert training.list() == []


def test_results_are_read_from_the_job_s_output(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = made(home)
    jobs: Any = training._services.jobs
    told = [{"total": 4, "completed": 1, "failed": 0}, {"total": 4, "completed": 3, "failed": 1}]
    jobs.metrics = lambda id, *, after=0: told[after:]
    jobs.events = lambda id, *, after=0: []
    (tmp_path / "output.jsonl").write_text('{"custom_id": "a"}\n{"custom_id": "c"}\n')
    (tmp_path / "errors.jsonl").write_text('{"custom_id": "b"}\n')
    (tmp_path / "results.json").write_text('{"scores": []}')
    job = training.batch("builtin", [line("a")]).wait()
    assert "4/4" in capsys.readouterr().err
    jobs.kept[job.id] = msgspec.structs.replace(jobs.kept[job.id], output=str(tmp_path))
    found = training.get(job.id)
    assert isinstance(found, BatchJob)
    assert found.counts() == {"total": 4, "completed": 3, "failed": 1}
    assert [entry["custom_id"] for entry in found.results()] == ["a", "c", "b"]
    scored = training.evaluate("builtin", ["t"]).wait(progress=False)
    jobs.kept[scored.id] = msgspec.structs.replace(jobs.kept[scored.id], output=str(tmp_path))
    again = training.get(scored.id)
    assert isinstance(again, EvaluationJob)
    assert again.results() == {"scores": []}


async def test_the_asynchronous_twin(home: Path) -> None:
    training = AsyncTraining(made(home))
    job = await training.batch("builtin", [line("a")])
    assert isinstance(job, AsyncBatchJob)
    assert (await job.wait(progress=False)).state == "succeeded"
    assert isinstance(await training.evaluate("builtin", ["t"]), AsyncEvaluationJob)
    assert [type(found) for found in await training.list()] == [AsyncEvaluationJob, AsyncBatchJob]
    assert isinstance(await training.get(job.id), AsyncBatchJob)
