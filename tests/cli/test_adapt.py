"""`genai-stack adapt` over a scripted queue and a host that learns from examples."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack import GenAIStack
from genai_stack.cli.run import run
from genai_stack.client.connection import Connection
from genai_stack.client.endpoint import Endpoint
from genai_stack.client.places import ThisMachine
from genai_stack.ports import Services
from genai_stack.scorecard import adapting
from genai_stack.service import ApiKeys, build_app
from tests.client.fakes import ScriptedJobs, make_services
from tests.service.fakes import serving
from tests.service.task_host import ReadingHost

COUNT = 6
EXPECTED = {
    question.body["messages"][0]["content"]: question.expected
    for question in adapting.in_prompt("builtin", 0, COUNT).questions
}


def learned(body: dict[str, Any]) -> str:
    """Right when an adapter was asked, and for half of the questions that come with four examples."""
    letter = body["messages"][-1]["content"]
    shots = len(body["messages"]) // 2
    if ":desk-" in body["model"] or (shots >= 4 and list(EXPECTED).index(letter) % 2):
        return EXPECTED[letter]
    return "Dear customer, thank you."


@pytest.fixture
def ports(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    host = ReadingHost()
    host.say = learned
    host.window = 10_000
    found = msgspec.structs.replace(make_services(home), models=host)
    with serving(build_app(found, keys=ApiKeys(found.records, "sk-x"))) as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", "sk-x")
        joined = Connection(endpoint, lambda: found, lambda _: ThisMachine(home / "data"), lambda: None)
        monkeypatch.setattr(GenAIStack, "local", lambda *_, **__: GenAIStack(joined))
        yield found


def test_the_table_and_its_files(ports: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "here"
    asked = ["adapt", "builtin", "--count", str(COUNT), "--shots", "4", "--shots", "0", "--examples", "10"]
    assert run([*asked, "--out", str(out)]) == 0
    told, err = capsys.readouterr()
    header, *lines = (line.split() for line in told.splitlines())
    assert header[:3] == ["way", "examples", "score"]
    assert [line[:5] for line in lines] == [
        ["in", "the", "prompt", "0", "0.0%"],
        ["in", "the", "prompt", "4", "50.0%"],
        ["LoRA", "10", "100.0%", "61.0%", "to"],
    ]
    files = [Path(line) for line in err.splitlines() if line.startswith(str(out))]
    assert [file.name for file in files] == ["adapting.png", "adapting.csv", "adapting.json"]
    rows = list(csv.DictReader((out / "adapting.csv").read_text().splitlines()))
    assert [(row["way"], row["examples"], row["right"], row["n"]) for row in rows] == [
        ("prompt", "0", "0", "6"),
        ("prompt", "4", "3", "6"),
        ("lora", "10", "6", "6"),
    ]


def test_adapters_are_trained_by_the_recipe_and_once(
    ports: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["adapt", "builtin", "--count", "2", "--shots", "0", "--out", str(tmp_path), "--json"]
    assert run([*asked, "--examples", "100", "--examples", "10"]) == 0
    first = json.loads(capsys.readouterr().out)
    jobs = ports.jobs
    assert isinstance(jobs, ScriptedJobs)
    for id, job in jobs.kept.items():
        jobs.kept[id] = msgspec.structs.replace(job, started=100.0, finished=142.5, idle=10.0)
    assert run([*asked, "--examples", "10"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["points"][1]["seconds"] == 32.5, "how long it took, and not how long it took to find it"
    answers = json.loads((tmp_path / "adapting.json").read_text())["answers"]
    assert {answer["series"] for answer in answers} == {"0 in the prompt", "LoRA on 10"}
    assert [(point["way"], point["examples"]) for point in first["points"]] == [
        ("prompt", 0),
        ("lora", 10),
        ("lora", 100),
    ]
    assert first["points"][1]["model"] == again["points"][1]["model"]
    assert [request.spec["name"] for request in jobs.requests.values()] == ["desk-10", "desk-100"]
    for number, request in zip((10, 100), jobs.requests.values(), strict=True):
        wanted = adapting.hyperparameters(number)
        assert {name: request.spec["hyperparameters"][name] for name in wanted} == wanted
        data = Path(request.spec["data"]["train"]).read_text().splitlines()
        assert [json.loads(line) for line in data] == adapting.examples(number)
        assert request.spec["seed"] == adapting.SEED


def test_a_job_that_fails_ends_it_and_keeps_what_was_answered(
    ports: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(ports.jobs, ScriptedJobs)
    ports.jobs.script = ("failed",)
    asked = ["adapt", "builtin", "--count", str(COUNT), "--shots", "4", "--examples", "10", "--examples", "100"]
    out = tmp_path / "out"
    assert run([*asked, "--out", str(out)]) == 1
    told, err = capsys.readouterr()
    assert "it broke" in err
    assert [line.split()[:5] for line in told.splitlines()[1:]] == [["in", "the", "prompt", "4", "50.0%"]]
    (row,) = csv.DictReader((out / "adapting.csv").read_text().splitlines())
    assert (row["way"], row["examples"], row["right"]) == ("prompt", "4", "3")
    assert len(json.loads((out / "adapting.json").read_text())["answers"]) == COUNT
    assert (out / "adapting.png").read_bytes().startswith(b"\x89PNG")
    assert len(ports.jobs.requests) == 1, "the others aren't trained"

    assert run([*asked, "--out", str(out), "--json"]) == 1
    told, err = capsys.readouterr()
    assert [point["way"] for point in json.loads(told)["points"]] == ["prompt"]
    assert "it broke" in err


def test_a_model_that_isn_t_there_is_1(
    ports: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["adapt", "nope", "--count", "2", "--out", str(tmp_path / "out")]) == 1
    assert "nope" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())
