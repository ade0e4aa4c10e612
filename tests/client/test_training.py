"""Data in, a job out: checked, kept, and the same job for the same request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from genai_stack.client.jobs import AsyncTrainingJob
from genai_stack.client.places import ThisMachine
from genai_stack.client.training import AsyncTraining, Training
from genai_stack.errors import InvalidData, InvalidSpec, JobFailed, NotFound, RequestError
from genai_stack.local.home import Home
from genai_stack.local.queue import ProcessJobs
from genai_stack.ports import JobRequest
from tests.client.fakes import make_services

CHAT = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "%s"}]}\n'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "my letters.jsonl"
    path.write_text(CHAT % "one" + CHAT % "two")
    return path


def made(home: Path, *script: str) -> Training:
    return Training(make_services(home, *script), ThisMachine(home / "data"))


def request(training: Training, id: str) -> Any:
    return training._services.jobs.requests[id]


def test_a_file_becomes_a_model_with_a_name(home: Path, data: Path) -> None:
    training = made(home)
    job = training.fine_tune(data, epochs=2, seed=7).wait(progress=False)
    asked = request(training, job.id)
    assert asked.kind == "train"
    assert (asked.spec["method"], asked.spec["base"], asked.spec["seed"]) == ("lora", "builtin", 7)
    assert asked.spec["hyperparameters"]["epochs"] == 2
    assert "output" not in asked.spec
    assert job.state == "succeeded"
    assert job.model == f"ft:builtin:my-letters:{job.id.removeprefix('ftjob-')}"
    assert training._services.registry.get(job.model).base == "builtin"


def test_the_data_a_job_reads_stays_what_it_was(home: Path, data: Path) -> None:
    training = made(home)
    spec = request(training, training.fine_tune(data).id).spec
    before = data.read_text()
    data.write_text(CHAT % "changed")
    assert Path(spec["data"]["train"]).read_text() == before
    assert [p.suffix for p in (home / "data").iterdir()] == [".jsonl"]


def test_the_same_request_is_the_same_job(home: Path, data: Path) -> None:
    training = made(home)
    first = training.fine_tune(data, suffix="a", epochs=2)
    assert training.fine_tune(str(data), suffix="a", epochs=2.0).id == first.id
    rows = [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "x"}]}]
    others = [
        training.fine_tune(data, suffix="b", epochs=2),
        training.fine_tune(data, suffix="a", epochs=3),
        training.fine_tune(data, suffix="a", epochs=2, seed=1),
        training.fine_tune(data, suffix="a", epochs=2, validation=data),
        training.fine_tune(rows, suffix="a", epochs=2),
    ]
    assert len({first.id, *(job.id for job in others)}) == 6


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_job_that_came_to_nothing_is_tried_anew(home: Path, data: Path, end: str) -> None:
    training = made(home, "running", end)
    first = training.fine_tune(data)
    with pytest.raises(JobFailed, match=f"{first.id} {end}.*genai-stack jobs logs"):
        first.wait(progress=False)
    second = training.fine_tune(data)
    assert second.id != first.id
    assert [job.id for job in training.list()] == [second.id, first.id]


def test_a_job_whose_model_was_deleted_is_done_again(home: Path, data: Path) -> None:
    training = made(home)
    first = training.fine_tune(data).wait(progress=False)
    assert training.fine_tune(data).id == first.id
    training._services.registry.delete(str(first.model))
    assert training.fine_tune(data).id != first.id


def test_data_is_refused_before_anything_is_submitted(home: Path, data: Path) -> None:
    training = made(home)
    data.write_text(CHAT % "fine" + "{}\n")
    with pytest.raises(InvalidData, match=r"my letters\.jsonl: 1 faulty line\n  line 2: has neither"):
        training.fine_tune(data)
    with pytest.raises(InvalidData, match="No such file"):
        training.fine_tune("nowhere.jsonl")
    with pytest.raises(InvalidData, match="examples: 1 faulty line"):
        training.fine_tune([{"messages": []}], suffix="x")
    assert training.list() == []
    assert not list((home / "data").iterdir())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epoch": 2}, "did you mean 'epochs'"),
        ({"epochs": "two"}, "hyperparameters.epochs"),
        ({"method": "magic"}, "method"),
        ({"suffix": "no/slash"}, "suffix 'no/slash'"),
        ({"base": "all-minilm-l6-v2"}, "is for embedding"),
    ],
)
def test_what_cannot_be_trained_is_refused(home: Path, data: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSpec, match=says):
        made(home).fine_tune(data, **options)


def test_a_base_is_a_whole_model_that_is_there(home: Path, data: Path) -> None:
    training = made(home)
    with pytest.raises(NotFound, match="nope"):
        training.fine_tune(data, base="nope")
    adapter = training.fine_tune(data).wait(progress=False).model
    with pytest.raises(InvalidSpec, match="is an adapter"):
        training.fine_tune(data, base=str(adapter))


def test_examples_without_a_file_need_a_suffix(home: Path) -> None:
    with pytest.raises(InvalidSpec, match="give a suffix"):
        made(home).fine_tune([{"text": "words"}])


def test_a_spec_runs_as_it_says(home: Path, data: Path, tmp_path: Path) -> None:
    training = made(home)
    spec = tmp_path / "spec.toml"
    spec.write_text(f'name = "desk"\nmethod = "lora"\noutput = "runs/x"\n[data]\ntrain = "{data}"\n')
    job = training.run(spec).wait(progress=False)
    assert str(job.model).startswith("ft:builtin:desk:")
    whole = {"name": "whole", "method": "full", "output": "x", "data": {"train": str(data)}}
    assert training._services.registry.get(str(training.run(whole).wait(progress=False).model)).base is None


def test_waiting_shows_progress_where_it_is_asked_for(
    home: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(home).fine_tune(data).wait()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2/2" in shown.err
    assert "1 example is [cut]" in shown.err
    made(home / "again").fine_tune(data).wait(progress=False)
    assert capsys.readouterr().err == ""


def test_waiting_has_a_limit(home: Path, data: Path) -> None:
    job = made(home, "running").fine_tune(data)
    with pytest.raises(TimeoutError, match="still running"):
        job.wait(progress=False, timeout=0)
    job.pause()
    job.resume()
    job.cancel()
    assert job.state == "cancelled"


async def test_the_asynchronous_twin(home: Path, data: Path) -> None:
    training = AsyncTraining(made(home))
    job = await training.fine_tune(data, suffix="s")
    assert isinstance(job, AsyncTrainingJob)
    done = await job.wait(progress=False)
    assert (done.state, await job.log()) == ("succeeded", "printed\n")
    assert len(await job.events()) == 2
    assert len(await job.metrics(after=2)) == 1
    assert [j.id for j in await training.list()] == [job.id] == [(await training.get(job.id)).id]


def test_a_directory_and_parquet_are_kept_as_they_are(home: Path, data: Path, tmp_path: Path) -> None:
    training = made(home)
    folder = tmp_path / "many"
    folder.mkdir()
    for name, text in (("b", "two"), ("a", "one")):
        (folder / f"{name}.jsonl").write_text(CHAT % text)
    first = training.fine_tune(folder)
    kept = Path(request(training, first.id).spec["data"]["train"])
    assert [p.read_text() for p in sorted(kept.iterdir())] == [CHAT % "one", CHAT % "two"]
    assert training.fine_tune(folder).id == first.id
    (folder / "a.jsonl").write_text("oops\n")
    with pytest.raises(InvalidData, match=f"{folder}: 1 faulty line\n  a.jsonl line 1: not JSON"):
        training.fine_tune(folder)
    (folder / "a.jsonl").write_text("")
    with pytest.raises(InvalidData, match=str(folder / "a.jsonl")):
        training.fine_tune(folder)
    table = tmp_path / "table.parquet"
    parquet.write_table(arrow.Table.from_pylist([{"prompt": "a", "completion": "b"}]), table)
    kept = Path(request(training, training.fine_tune(table).id).spec["data"]["train"])
    assert (kept.suffix, kept.read_bytes()) == (".parquet", table.read_bytes())


def test_data_of_another_method_is_refused_before_anything_is_submitted(home: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"chosen": "It is so", "rejected": "It is not"}\n')
    training = made(home)
    with pytest.raises(InvalidData, match="method lora can't learn from; use method dpo"):
        training.fine_tune(pairs)
    assert training.list() == []


def test_this_machine_runs_its_jobs_itself(home: Path, data: Path) -> None:
    training = made(home)
    with pytest.raises(InvalidSpec, match="none on 'sagemaker'; take a stage for it"):
        training.fine_tune(data, on="sagemaker")
    assert training.list() == []
    with pytest.raises(RequestError, match="submit to a deployed stage"):
        ProcessJobs(Home(home)).submit(JobRequest("j", "train", {}, on="sagemaker"))
