"""MLflow beside a run: what it is told, and that it never gets in the way."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from genai_stack.training import tracking
from genai_stack.training.__main__ import main
from genai_stack.training.interrupts import Interrupted
from genai_stack.training.outputs import RunLog
from genai_stack.training.place import Place
from genai_stack.training.spec import TrainingSpec, load
from genai_stack.training.tracking import tracked

MakeSpec = Callable[..., Path]


class Server:
    """The tracking server's REST API, as far as a run asks it. `deaf` has it answer 503."""

    def __init__(self) -> None:
        self.deaf = False
        self.runs: dict[str, dict[str, Any]] = {}
        self.experiments: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(dict(parse_qsl(self.path.partition("?")[2])))

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _answer(self, body: dict[str, Any]) -> None:
                action = self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
                status, told = (503, {}) if server.deaf else server.answer(action, body)
                content = json.dumps(told).encode()
                self.send_response_only(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, action: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if action == "experiments/get-by-name":
            if not self.experiments:
                return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
            return 200, {"experiment": {"experiment_id": "7", "name": self.experiments[0]}}
        if action == "experiments/create":
            self.experiments.append(body["name"])
            return 200, {"experiment_id": "7"}
        if action == "runs/create":
            id = f"run{len(self.runs)}"
            tags = {tag["key"]: tag["value"] for tag in body["tags"]}
            self.runs[id] = {"tags": tags, "params": {}, "metrics": [], "states": ["RUNNING"]}
            return 200, {"run": self._run(id)}
        run = self.runs.get(body.get("run_id", ""))
        if run is None:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}
        if action == "runs/log-batch":
            run["params"] |= {p["key"]: p["value"] for p in body.get("params", [])}
            run["metrics"] += [(m["key"], m["step"], m["value"]) for m in body.get("metrics", [])]
            return 200, {}
        if action == "runs/get":
            return 200, {"run": self._run(body["run_id"])}
        assert action == "runs/update"
        run["states"].append(body["status"])
        return 200, {"run_info": self._run(body["run_id"])["info"]}

    def _run(self, id: str) -> dict[str, Any]:
        return {"info": {"run_id": id, "run_uuid": id, "experiment_id": "7", "status": "RUNNING"}, "data": {}}


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "TURN_SECONDS", 0.02)
    for name, value in (
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_ALLOW_FILE_STORE", "true"),
    ):
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.uri)
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def spec(tmp_path: Path) -> TrainingSpec:
    (tmp_path / "train.jsonl").write_text('{"text": "words"}\n')
    path = tmp_path / "spec.json"
    told = {"name": "shop", "method": "lora", "output": str(tmp_path / "out")}
    path.write_text(json.dumps({**told, "data": {"train": str(tmp_path / "train.jsonl")}}))
    (tmp_path / "out").mkdir()
    return load(path)


def events(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]


def attempt(spec: TrainingSpec, *steps: int, end: type[BaseException] | None = None) -> None:
    output = Path(spec.output)
    with RunLog(output) as log, tracked(spec, Place(output), log):
        for step in steps:
            log.metrics(step=step, total_steps=9, epoch=0.1, loss=1.0 / step)
        if end:
            raise end


def test_a_run_is_told_with_its_curve_and_its_card(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    store = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "letters")
    assert main([str(make_spec("mine", seed=5))]) == 0
    assert [event["type"] for event in events(tmp_path / "mine")][-1] == "succeeded"
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("letters")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("mine", "FINISHED")
    assert (run.data.params["seed"], run.data.params["hyperparameters.batch_size"]) == ("5", "4")
    assert run.data.params["data.validation"] == "null"
    assert run.data.tags["genai_stack.job"] == "mine"
    content = (tmp_path / "train.jsonl").read_bytes()
    assert run.data.tags["genai_stack.data.train"] == hashlib.sha256(content).hexdigest()
    assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"README.md", "loss.png"}
    assert not {"step", "total_steps", "epoch"} & set(run.data.metrics)


def test_an_interrupted_run_goes_on_as_the_same_one(server: Server, spec: TrainingSpec) -> None:
    with pytest.raises(Interrupted):
        attempt(spec, 1, 2, end=Interrupted)
    attempt(spec, 3)
    ((id, run),) = server.runs.items()
    assert (id, server.experiments) == ("run0", ["genai-stack"])
    assert run["metrics"] == [("loss", 1, 1.0), ("loss", 2, 0.5), ("loss", 3, 1 / 3)]
    assert run["states"] == ["RUNNING", "KILLED", "RUNNING", "FINISHED"]
    assert run["params"]["hyperparameters.lora_rank"] == "16"


def test_a_failed_run_has_failed_there_and_a_forgotten_one_is_told_anew(
    server: Server, spec: TrainingSpec
) -> None:
    with pytest.raises(ZeroDivisionError):
        attempt(spec, 1, end=ZeroDivisionError)
    assert server.runs.pop("run0")["states"][-1] == "FAILED"
    attempt(spec, 2)
    assert server.runs["run0"]["metrics"] == [("loss", 2, 0.5)]
    assert not (Path(spec.output) / "events.jsonl").read_text()


def test_what_a_server_misses_it_gets_later(server: Server, spec: TrainingSpec) -> None:
    server.deaf = True
    output = Path(spec.output)
    with RunLog(output) as log, tracked(spec, Place(output), log):
        log.metrics(step=1, loss=4.0)
        while not events(output):
            log.metrics(step=2, loss=2.0)
            threading.Event().wait(0.05)
        server.deaf = False
    (run,) = server.runs.values()
    assert run["metrics"][0] == ("loss", 1, 4.0)
    assert run["metrics"][1] == ("loss", 2, 2.0)
    (warning,) = events(output)
    assert (warning["level"], warning["type"]) == ("warn", "tracking")
    assert "training goes on without it" in warning["message"]


def test_a_server_that_is_down_costs_a_warning(spec: TrainingSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@127.0.0.1:{taken.getsockname()[1]}")
        attempt(spec, 1, 2)
    (warning,) = events(Path(spec.output))
    assert warning["type"] == "tracking"
    assert "://127.0.0.1:" in warning["message"]
    assert "hunter2" not in warning["message"]


def test_the_first_of_several_processes_tells(
    server: Server, spec: TrainingSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    attempt(spec, 1)
    assert server.runs == {}


def test_without_the_package_nothing_is_trained(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "mlflow" else found(name, *more)
    )
    assert main([str(make_spec())]) == 2
    assert "pip install 'genai-stack[mlflow]'" in capfd.readouterr().err
    assert not (tmp_path / "run" / "metrics.jsonl").read_text()
