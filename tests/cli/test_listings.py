"""Listings: columns for a person, JSON for a machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from genai_stack import wiring
from genai_stack.cli.run import run
from genai_stack.errors import Overloaded
from genai_stack.ports import ModelVersion, Services
from tests.client.fakes import make_services

CHAT = '{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n'


@pytest.fixture
def services(home: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    made = make_services(home)
    monkeypatch.setattr(wiring, "local_services", lambda *_: made)
    return made


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "letters.jsonl"
    path.write_text(CHAT)
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(arguments) == code
    return capsys.readouterr().out


def machine(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(told(capsys, *arguments, "--json"))


def test_a_key_says_what_it_is_for(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--tenant", "acme", "--scope", "inference", "--model", "builtin", "--model", "ft:builtin:*"]
    limits = ["--requests-per-minute", "60", "--concurrent", "4", "--budget", "12.5", "--expires", "90d"]
    made = machine(capsys, "keys", "create", "ci", *options, *limits)
    (listed,) = machine(capsys, "keys", "list")
    assert (listed["tenant"], listed["scopes"], listed["models"]) == (
        "acme",
        ["inference"],
        ["builtin", "ft:builtin:*"],
    )
    assert listed["limits"] == {"requests_per_minute": 60, "concurrent": 4, "budget": 12.5}
    assert listed["expires"] - listed["created"] == pytest.approx(90 * 86_400)
    assert "60 requests/min, 4 at once, $12.5/month" in told(capsys, "keys", "list")
    rotated = machine(capsys, "keys", "rotate", made["id"], "--overlap", "10m")
    assert rotated["id"] == made["id"]
    assert rotated["key"] != made["key"]
    for bad in (["--expires", "soon"], ["--scope", "root"], ["--budget", "-1"], ["--concurrent", "0"]):
        told(capsys, "keys", "create", "x", *bad, code=2)


def test_usage_adds_up(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    from genai_stack.service.ledger import Entry, Ledger

    id = machine(capsys, "keys", "create", "ci")["id"]
    ledger = Ledger(services.records)
    for n in (1, 2, 3):
        at = time.time()
        where = "m" if n < 3 else "n"
        ledger.charge(Entry(at, "t", id, where, "/", 200, "answered", n, 10, 0, n * 10**6, None, 1.0, f"b{n}"))
    report = machine(capsys, "usage", "--by", "model,key")
    assert [(row["model"], row["key"], row["nano_usd"]) for row in report["data"]] == [
        ("m", id, 3 * 10**6),
        ("n", id, 3 * 10**6),
    ]
    assert (report["total"]["requests"], report["total"]["usd"]) == (3, 0.006)
    shown = told(capsys, "usage")
    assert shown.splitlines()[0].split()[:3] == ["day", "key", "model"]
    assert shown.splitlines()[-1].split() == ["total", "3", "0", "6", "0", "30", "0.006000"]
    assert "ci" in shown
    assert told(capsys, "usage", "--tenant", "nobody") == ""
    told(capsys, "usage", "--by", "week", code=1)


def test_keys_are_made_listed_and_revoked(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine(capsys, "keys", "list") == []
    made = machine(capsys, "keys", "create", "ci")
    (listed,) = machine(capsys, "keys", "list")
    assert listed["id"] == made["id"]
    assert made["key"] not in told(capsys, "keys", "list", "--json")
    plain = told(capsys, "keys", "create", "two words").strip()
    assert plain.startswith("sk-gs-")
    assert "two words" in told(capsys, "keys", "list")
    told(capsys, "keys", "revoke", made["id"])
    assert [key["name"] for key in machine(capsys, "keys", "list")] == ["two words"]


def test_the_stack_s_own_key_is_kept(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = told(capsys, "keys", "show").strip()
    assert machine(capsys, "keys", "show") == {"key": key}
    assert (home / "key").read_text().strip() == key
    assert (home / "key").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("GENAI_STACK_API_KEY", "sk-mine")
    assert told(capsys, "keys", "show") == "sk-mine\n"


def test_models_are_listed_shown_and_deleted(services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    services.registry.register(ModelVersion("ft:builtin:x:1", "/x", base="builtin", created=1.0))
    names = [model["name"] for model in machine(capsys, "models", "list")]
    assert names == ["builtin", "all-minilm-l6-v2", "ft:builtin:x:1"]
    lines = told(capsys, "models", "list").splitlines()
    assert lines[0].split() == ["name", "version", "task", "base", "created", "source"]
    assert len(lines) == 4
    assert machine(capsys, "models", "show", "ft:builtin:x:1")["base"] == "builtin"
    assert "source   /x" in told(capsys, "models", "show", "ft:builtin:x:1")
    services.models.up.append("ft:builtin:x:1")  # type: ignore[attr-defined]
    told(capsys, "models", "delete", "ft:builtin:x:1")
    assert services.models.up == []  # type: ignore[attr-defined]
    told(capsys, "models", "show", "ft:builtin:x:1", code=1)


def test_a_version_from_import_to_rollback(
    services: Services, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    (tmp_path / "m").mkdir()
    weights = len(header).to_bytes(8, "little") + header + b"0"
    (tmp_path / "m" / "model.safetensors").write_bytes(weights)
    (tmp_path / "m" / "config.json").write_text("{}")
    assert told(capsys, "models", "register", "m", "/x") == "m@1 is live\n"
    said = told(capsys, "models", "import", str(tmp_path / "m"))
    assert said == "m@2 is registered; make it live: genai-stack models promote m@2\n"
    shown = machine(capsys, "models", "show", "m@2")
    assert (shown["approval"], shown["origin"]) == ("pending", str(tmp_path / "m"))
    assert told(capsys, "models", "promote", "m@2") == "m@2 is live\n"
    lines = [line.split() for line in told(capsys, "models", "show", "m").splitlines()]
    assert ["state", "live"] in lines
    assert [line[:2] for line in lines[-2:]] == [["1", "approved"], ["2", "live"]]
    assert told(capsys, "models", "rollback", "m") == "m@1 is live\n"
    told(capsys, "models", "delete", "m@1", code=1)
    told(capsys, "models", "delete", "m@2")
    told(capsys, "models", "deploy", "m")
    told(capsys, "models", "promote", "m", code=2)


def test_a_training_run_from_start_to_end(
    services: Services, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no jobs" in (run(["jobs", "list"]), capsys.readouterr().err)[1]
    assert run(["train", data, "--epochs", "1"]) == 0
    out, err = capsys.readouterr()
    (job,) = machine(capsys, "jobs", "list")
    assert (job["state"], job["spec"]["hyperparameters"]["epochs"]) == ("succeeded", 1.0)
    assert out == f"{job['model']} is ready; try: genai-stack chat --model {job['model']} 'a question'\n"
    assert f"job {job['id']}" in err
    assert "2/2" in err
    shown = told(capsys, "jobs", "show", job["id"])
    assert "step     2 of 2" in shown
    assert "loss     1.0000" in shown
    assert machine(capsys, "jobs", "show", job["id"])["model"] == job["model"]
    assert told(capsys, "jobs", "logs", job["id"]) == "printed\n"
    assert "1 example is [cut]" in told(capsys, "jobs", "events", job["id"], "--follow")
    events = told(capsys, "jobs", "events", job["id"], "--json").splitlines()
    assert json.loads(events[0])["total_steps"] == 2
    assert job["model"] in told(capsys, "jobs", "list")


def test_training_can_be_left_to_itself(
    services: Services, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    id = told(capsys, "train", data, "--detach").strip()
    assert id.startswith("ftjob-")
    assert machine(capsys, "train", data, "--detach")["id"] == id
    assert told(capsys, "jobs", "pause", id) == f"{id} paused\n"
    assert machine(capsys, "jobs", "resume", id)["state"] == "queued"
    assert told(capsys, "jobs", "cancel", id) == f"{id} cancelled\n"
    assert machine(capsys, "jobs", "cancel", id)["state"] == "cancelled"


def test_training_that_fails_is_1(services: Services, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    services.jobs.script = ("failed",)  # type: ignore[attr-defined]
    assert run(["train", data]) == 1
    assert "failed: it broke; see: genai-stack jobs logs ftjob-" in capsys.readouterr().err


def test_interrupting_train_leaves_the_job_running(
    services: Services, data: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genai_stack.client.jobs import TrainingJob

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingJob, "wait", interrupted)
    assert run(["train", data]) == 1
    assert "left ftjob-" in capsys.readouterr().err

    def unreachable(*_: object, **__: object) -> None:
        raise Overloaded("AWS Batch is busy (ThrottlingException); try again in a moment")

    monkeypatch.setattr(TrainingJob, "wait", unreachable)
    assert run(["train", data]) == 1
    assert "busy (ThrottlingException); try again in a moment; left ftjob-" in capsys.readouterr().err
    assert machine(capsys, "jobs", "list")[0]["state"] != "cancelled"
