"""The training layer of a deployed stage, from Python and from the shell, against moto."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genai_stack import AsyncGenAIStack, GenAIStack, wiring
from genai_stack.aws.objects import S3Objects
from genai_stack.cli.run import run
from genai_stack.client.places import Stage
from genai_stack.errors import GenAIStackError, InvalidData, InvalidSpec, JobFailed, NotDeployedError
from genai_stack.ports import ModelVersion
from tests.aws.account import Account

pytestmark = pytest.mark.usefixtures("quick")
CHAT = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "%s"}]}\n'


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "poll", 0.01)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "letters.jsonl"
    path.write_text(CHAT % "one" + CHAT % "two")
    return path


@pytest.fixture
def bucket(fleet: Any) -> S3Objects:
    return S3Objects(fleet.bucket)


def finished(bucket: S3Objects, id: str) -> None:
    """What a training program leaves behind."""
    output = f"jobs/{id}/output"
    event = {"level": "info", "message": "2 steps", "total_steps": 2, "time": 1.0}
    metric = {"step": 2, "total_steps": 2, "loss": 1.0}
    bucket.put(f"{output}/events.jsonl", json.dumps(event).encode() + b"\n")
    bucket.put(f"{output}/metrics.jsonl", json.dumps(metric).encode() + b"\n")
    bucket.put(f"{output}/adapter/weights", b"{}")
    bucket.put(f"{output}/manifest.json", b"{}")


def submitted(aws: Account) -> list[Any]:
    return [json.loads(r.body) for r in aws.seen if r.path == "/v1/submitjob"]


def test_a_file_becomes_a_model(aws: Account, stage: str, bucket: S3Objects, data: Path) -> None:
    with GenAIStack.deployed(stage) as stack:
        job = stack.training.fine_tune(data, epochs=2)
        digest = hashlib.sha256(data.read_bytes()).hexdigest()
        assert bucket.get(f"data/{digest}.jsonl") == data.read_bytes()
        spec = json.loads(bucket.get(f"jobs/{job.id}/spec.json"))
        assert spec["data"]["train"] == f"s3://{bucket.bucket}/data/{digest}.jsonl"
        assert spec["output"] == f"s3://{bucket.bucket}/jobs/{job.id}/output"
        assert spec["base"] == "builtin"
        finished(bucket, job.id)
        assert stack.training.fine_tune(data, epochs=2).id == job.id
        puts = [r for r in aws.seen if r.method == "PUT" and "/data/" in r.path]
        assert len(puts) == 1
        assert job.wait(progress=False).model == f"ft:builtin:letters:{job.id.removeprefix('ftjob-')}"
        assert len(submitted(aws)) == 1
        assert [j.id for j in stack.training.jobs()] == [job.id] == [stack.training.job(job.id).id]
        assert (len(job.events()), job.metrics()[0]["loss"]) == (1, 1.0)
        (tuned,) = [model for model in stack.hosting.list() if model.base]
        assert (tuned.name, tuned.live) == (job.model, False)
        with pytest.raises(NotDeployedError, match=r"npx aws-cdk@[0-9.]+ deploy GenaiStack-Hosting -c stage="):
            stack.hosting.invoke(tuned.name, {})
        with pytest.raises(NotDeployedError, match="deploy GenaiStack-Service -c stage="):
            _ = stack.service


async def test_the_asynchronous_twin(aws: Account, stage: str, bucket: S3Objects, data: Path) -> None:
    async with await AsyncGenAIStack.deployed(stage) as stack:
        asked = len(aws.seen)
        assert stack.training
        assert stack.hosting
        assert len(aws.seen) == asked  # nothing waits for the account inside a property
        job = await stack.training.fine_tune(data)
        finished(bucket, job.id)
        assert (await job.wait(progress=False)).state == "succeeded"
        assert [j.id for j in await stack.training.jobs()] == [(await stack.training.job(job.id)).id]


def test_a_job_that_fails_names_the_command_that_tells_why(stage: str, data: Path) -> None:
    with GenAIStack.deployed(stage) as stack:
        job = stack.training.fine_tune(data)
        with pytest.raises(
            JobFailed, match=rf"manifest\.json.*see: genai-stack jobs logs {job.id} --stage {stage}$"
        ):
            job.wait(progress=False)
        assert stack.training.fine_tune(data).id != job.id


def test_what_a_job_cannot_read_is_refused(aws: Account, stage: str, data: Path, tmp_path: Path) -> None:
    spec = {"name": "x", "method": "lora", "output": "x", "data": {"train": str(data)}}
    with GenAIStack.deployed(stage) as stack:
        with pytest.raises(InvalidSpec, match=r"is on this machine.*aws s3 cp --recursive"):
            stack.training.run({**spec, "base": str(tmp_path)})
        shape = {"tokenizer": str(tmp_path)}
        with pytest.raises(InvalidSpec, match="is on this machine"):
            stack.training.run({**spec, "method": "pretrain", "base": "scratch", "architecture": shape})
        data.write_text("{}\n")
        with pytest.raises(InvalidData, match="1 faulty line"):
            stack.training.fine_tune(data)
        assert stack.training.list() == []
        with pytest.raises(InvalidSpec, match=r"aws s3 cp --recursive s3://theirs/one s3://.*/models/NAME"):
            stack.training.run({**spec, "base": "s3://theirs/one"})
        with pytest.raises(InvalidSpec, match=r"aws s3 cp --recursive s3://theirs/x.jsonl s3://.*/data/NAME"):
            stack.training.fine_tune("s3://theirs/x.jsonl")
        with pytest.raises(InvalidSpec, match="have no 'minilm'"):
            stack.training.run({**spec, "base": "minilm"})
        assert stack.training.list() == []
    assert [r.path for r in aws.seen if r.method == "PUT" and "/data/" in r.path] == []


def test_a_registered_model_is_read_as_jobs_read_it(stage: str, data: Path, tmp_path: Path) -> None:
    with GenAIStack.deployed(stage) as stack:
        stack._services.registry.register(ModelVersion("mine", str(tmp_path)))
        with pytest.raises(InvalidSpec, match="is on this machine"):
            stack.training.fine_tune(data, "mine")
        with pytest.raises(NotDeployedError):
            stack.hosting.deploy("new", "s3://theirs/one")
        assert "new" not in [model.name for model in stack.hosting.list()]


def test_remote_data_is_known_by_what_lies_there(
    aws: Account, stage: str, bucket: S3Objects, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, base = f"s3://{bucket.bucket}/mine/", f"s3://{bucket.bucket}/models/one"
    with GenAIStack.deployed(stage) as stack:

        def run(train: str) -> Any:
            spec = {"name": "x", "method": "lora", "output": "x", "base": base, "data": {"train": train}}
            return stack.training.run(spec)

        with pytest.raises(InvalidData, match="holds no"):
            run(source)
        bucket.put("mine/a.jsonl", data.read_bytes())
        first = run(source)
        told = first._job.spec
        assert (told["base"], told["data"]["train"]) == (base, source)
        finished(bucket, first.id)
        first.wait(progress=False)
        assert run(source).id == first.id
        bucket.put("mine/a.jsonl", b"{}\n")
        assert run(source).id != first.id
        revision = ["a" * 40]
        monkeypatch.setattr(
            "huggingface_hub.HfApi.repo_info", lambda *_, **__: SimpleNamespace(sha=revision[0])
        )
        one = run("hf://datasets/org/name@main/train.jsonl")
        pinned = f"hf://datasets/org/name@{'a' * 40}/train.jsonl"
        assert one.refresh().spec["data"]["train"] == pinned
        revision[0] = "b" * 40
        assert run(pinned)._job.spec == one._job.spec
        other = run("hf://datasets/org/name@main/train.jsonl").refresh().spec["data"]["train"]
        assert other == pinned.replace("a" * 40, "b" * 40)


def test_several_nodes_are_another_job(aws: Account, stage: str, data: Path) -> None:
    with GenAIStack.deployed(stage) as stack:
        one = stack.training.fine_tune(data)
        with pytest.raises(GenAIStackError, match="multi does not exist"):  # moto has no such definition
            stack.training.fine_tune(data, nodes=2)
    orders = submitted(aws)
    assert [order.get("nodeOverrides") for order in orders] == [None, {"numNodes": 2}]
    assert [order["jobName"] == one.id for order in orders] == [True, False]


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(arguments) == code
    return capsys.readouterr().out


def test_the_verbs_work_on_a_stage(
    aws: Account, stage: str, fleet: Any, bucket: S3Objects, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--stage", stage)
    id = told(capsys, "train", str(data), "--detach", *there).strip()
    finished(bucket, id)
    out = told(capsys, "train", str(data), *there)
    assert out.startswith("ft:builtin:letters:")
    assert f"is ready in stage {stage}; its files: s3://{bucket.bucket}/jobs/{id}/output" in out
    (job,) = json.loads(told(capsys, "jobs", "list", *there, "--json"))
    assert (job["id"], job["state"]) == (id, "succeeded")
    assert "2 of 2" in told(capsys, "jobs", "show", id, *there)
    assert "2 steps" in told(capsys, "jobs", "events", id, "--follow", *there)
    assert told(capsys, "jobs", "cancel", id, *there) == f"{id} succeeded\n"
    assert told(capsys, "jobs", "logs", id, *there) == ""
    assert told(capsys, "jobs", "logs", id, "--follow", *there) == ""
    told(capsys, "jobs", "show", "nobody", *there, code=1)


def test_a_stage_is_not_a_home(stage: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["jobs", "list"], ["train", str(data)]):
        for order in (["--home", "x", "--stage", stage], ["--stage", stage, "--home", "x"]):
            assert run([*arguments, *order]) == 2
            assert "--stage isn't; give one of them" in capsys.readouterr().err
    for name in ("a/b", "a.b", "a_b", "-a", ""):
        assert run(["jobs", "list", f"--stage={name}"]) == 2
        assert "can't be a stage's name" in capsys.readouterr().err


def test_a_spec_is_a_file_here(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "s3://bucket/spec.toml", "--stage", stage]) == 2
    assert "fetch s3://bucket/spec.toml, and give its path" in capsys.readouterr().err


def test_a_stage_that_is_not_deployed_names_the_stack(
    aws: Account, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", str(data), "--stage", "nowhere"]) == 1
    told = capsys.readouterr().err
    assert "/genai-stack/nowhere/training/artefact-bucket; run: npx aws-cdk@2.1148.1 deploy" in told
    assert told.endswith("deploy GenaiStack-Training -c stage=nowhere\n")
    with pytest.raises(NotDeployedError, match="GenaiStack-Training"):
        wiring.aws_services("nowhere")


def test_an_address_is_a_store_and_a_prefix(aws: Account, bucket: S3Objects) -> None:
    store, prefix = wiring.object_store(f"s3://{bucket.bucket}/jobs/x/output")
    store.put(f"{prefix}/a", b"1")
    assert bucket.get("jobs/x/output/a") == b"1"
    assert wiring.object_store(f"s3://{bucket.bucket}")[1] == ""
