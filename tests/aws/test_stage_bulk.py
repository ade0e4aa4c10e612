"""Batches and evaluations on a deployed stage, against moto; the batch program itself runs, over a made-up vllm."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from genai_stack import AsyncGenAIStack, GenAIStack
from genai_stack.aws.objects import S3Objects
from genai_stack.cli.run import run
from genai_stack.client.bulk import EvaluationJob
from genai_stack.client.places import Stage
from genai_stack.errors import InvalidData, InvalidSpec
from genai_stack.ports import ModelVersion
from tests.aws.account import Account

pytestmark = pytest.mark.usefixtures("quick")
VLLM = Path(__file__).parents[1] / "bulk" / "fake_vllm.py"
SCORES = {"scores": [], "against": "weights", "seconds": 1.0}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "poll", 0.01)


@pytest.fixture
def bucket(fleet: Any) -> S3Objects:
    return S3Objects(fleet.bucket)


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    path = tmp_path / "requests.jsonl"
    path.write_text("".join(json.dumps(line(text)) + "\n" for text in ("one", "refuse me", "three")))
    return path


def line(text: str, model: str = "builtin", url: str = "/v1/chat/completions") -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
    if url == "/v1/completions":
        body = {"model": model, "prompt": text}
    return {"custom_id": text, "method": "POST", "url": url, "body": body}


def computed(aws: Account, bucket: S3Objects, id: str, tmp_path: Path) -> None:
    """What the batch definition's container does."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {VLLM} "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    uri = f"s3://{bucket.bucket}/jobs/{id}/spec.json"
    command = [sys.executable, "-m", "genai_stack.bulk.batch", uri]
    subprocess.run(command, env={**os.environ, **aws.environment, "PATH": path}, check=True, timeout=120)


def test_a_file_is_answered(
    aws: Account,
    stage: str,
    bucket: S3Objects,
    requests: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with GenAIStack.deployed(stage) as stack:
        job = stack.training.batch("builtin", requests, max_in_flight=8)
        digest = hashlib.sha256(requests.read_bytes()).hexdigest()
        spec = json.loads(bucket.get(f"jobs/{job.id}/spec.json"))
        assert spec["input"] == f"s3://{bucket.bucket}/data/{digest}.jsonl"
        assert (spec["engine"], spec["max_in_flight"]) == ("vllm", 8)
        computed(aws, bucket, job.id, tmp_path)
        job.wait(progress=False)
        assert job.counts() == {"total": 3, "completed": 2, "failed": 1}
        assert [entry["custom_id"] for entry in job.results()] == ["one", "three", "refuse me"]
    answers = tmp_path / "answers.jsonl"
    arguments = ("batch", str(requests), "--model", "builtin", "--max-in-flight", "8", "--stage", stage)
    capsys.readouterr()
    assert run([*arguments, "--output", str(answers)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{answers}\n"
    assert f"job {job.id}\n" in err
    assert "1 of 3 lines failed" in err
    assert [json.loads(entry)["custom_id"] for entry in answers.read_text().splitlines()] == ["one", "three"]


def test_a_model_is_scored(stage: str, bucket: S3Objects, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "ft:x", "--tasks", "hellaswag", "--limit", "5", "--stage", stage]
    with GenAIStack.deployed(stage) as stack:
        adapter = f"s3://{bucket.bucket}/jobs/j/output/adapter"
        stack._services.registry.register(ModelVersion("ft:x", adapter, base="builtin"))
        assert run([*arguments, "--detach"]) == 0
        id = capsys.readouterr().out.strip()
        spec = json.loads(bucket.get(f"jobs/{id}/spec.json"))
        assert spec["model"] == {"name": "ft:x", "source": "builtin", "adapter": adapter}
        assert (spec["against"], spec["limit"], spec["task_dir"]) == ("weights", 5, None)
        bucket.put(f"jobs/{id}/output/results.json", json.dumps(SCORES).encode())
        bucket.put(f"jobs/{id}/output/manifest.json", b"{}")
        job = stack.training.get(id)
        assert isinstance(job, EvaluationJob)
        assert job.wait(progress=False).results() == SCORES
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SCORES


def test_what_a_stage_does_not_take_is_refused_by_name(
    stage: str, requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with GenAIStack.deployed(stage) as stack:
        training = stack.training
        for options, says in (
            ({"engine": "local"}, "engine: jobs of stage .* take 'vllm', not 'local'"),
            ({"threads": 2}, "threads: jobs of stage"),
            ({"precision": "f32"}, "precision: jobs of stage"),
            ({"engine": "vllm", "max_inflight": 1}, "did you mean 'max_in_flight'"),
        ):
            with pytest.raises(InvalidSpec, match=says):
                training.batch("builtin", requests, **options)
        for options, says in (
            ({"against": "api"}, "against: jobs of stage .* take 'weights', not 'api'"),
            ({"max_in_flight": 2}, "max_in_flight: jobs of stage"),
            ({"task_dir": tmp_path}, "task_dir: is on this machine"),
        ):
            with pytest.raises(InvalidSpec, match=says):
                training.evaluate("builtin", ["t"], **options)
        with pytest.raises(InvalidSpec, match="vllm runs no batch of /v1/completions"):
            training.batch("builtin", [line("one", url="/v1/completions")])
        with pytest.raises(InvalidData, match="requests: 1 fault"):
            training.batch("builtin", [line("one", model="other")])
        stack._services.registry.register(ModelVersion("mine", str(tmp_path)))
        with pytest.raises(InvalidSpec, match="is on this machine"):
            training.evaluate("mine", ["t"])
        assert training.list() == []
    assert run(["batch", str(requests), "--model", "builtin", "--engine", "local", "--stage", stage]) == 2
    assert "engine: jobs of stage" in capsys.readouterr().err


async def test_the_asynchronous_twin(stage: str, bucket: S3Objects) -> None:
    async with await AsyncGenAIStack.deployed(stage) as stack:
        job = await stack.training.batch("builtin", [line("one")])
        for name, data in (("output.jsonl", b'{"custom_id": "one"}\n'), ("errors.jsonl", b"")):
            bucket.put(f"jobs/{job.id}/output/{name}", data)
        bucket.put(f"jobs/{job.id}/output/manifest.json", b"{}")
        await job.wait(progress=False)
        assert await job.results() == [{"custom_id": "one"}]
