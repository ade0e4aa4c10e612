"""MLflow: a run with its parameters, metrics, loss curve and model card on the server that `MLFLOW_TRACKING_URI` names.

The server is asked from a thread of its own, so a slow one doesn't slow training, and one that is down costs a warning:
what it hasn't taken yet is kept, and sent with the next turn. An interrupted run goes on as the same MLflow run, whose
id is in the output.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import settings
from ..errors import GenAIStackError, InvalidSpec
from ..sources.data import data_files
from . import ranks
from .board import NOT_CURVES
from .interrupts import Interrupted
from .outputs import RunLog, digest
from .place import Place
from .report import CARD, CURVE
from .spec import TrainingSpec, plain

NOTE = "mlflow.json"
"""Which MLflow run this is, in the output: `{"server" (a digest of its address), "run"}`."""
TURN_SECONDS = 5.0
GRACE_SECONDS = 30.0
"""How long the end of a run waits for the server to take the rest."""
HASTE_SECONDS = 5.0
"""The same where the machine may be about to go."""
AT_ONCE = 500
"""Metrics in one request; MLflow takes 1000 (https://mlflow.org/docs/latest/rest-api.html#log-batch)."""
PARAMS_AT_ONCE = 100
LONGEST = 6000
"""Characters of a parameter's value."""
_PASSWORD = re.compile(r"://[^/@\s]*@")
"""In an address: MLflow's errors say all of it, and whoever may see the job reads its events."""
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


def check() -> None:
    """Raises InvalidSpec where a tracking server is named and MLflow isn't there to talk to it."""
    if settings.mlflow() and importlib.util.find_spec("mlflow") is None:
        raise InvalidSpec(
            "MLFLOW_TRACKING_URI is set, and the package mlflow isn't installed; "
            "run: pip install 'genai-stack[mlflow]', or unset it"
        )


@contextmanager
def tracked(spec: TrainingSpec, place: Place, log: RunLog) -> Iterator[None]:
    """While entered, what `log` is told in metrics goes to the tracking server as well; at the end go the curve, the
    card and how it ended. Nothing happens without a server's address, and in all processes but the first."""
    server = settings.mlflow()
    if server is None or not ranks.is_first():
        yield
        return
    run = Tracking(server, spec, place, log)
    log.also(run.metrics)
    try:
        yield
    except Interrupted:
        run.close("interrupted", HASTE_SECONDS)
        raise
    except BaseException:
        run.close("failed", HASTE_SECONDS)
        raise
    run.close("finished", GRACE_SECONDS)


class Tracking:
    """One MLflow run. `metrics` never waits for the server."""

    def __init__(self, server: settings.TrackingServer, spec: TrainingSpec, place: Place, log: RunLog) -> None:
        self._server, self._spec, self._place, self._log = server, spec, place, log
        self._waiting: list[tuple[str, float, int, int]] = []
        """Metrics as MLflow has them: name, value, Unix milliseconds, step."""
        self._client: Any = None
        self._run: str | None = None
        self._untold: list[tuple[str, str]] = []
        self._status: str | None = None
        self._trouble: str | None = None
        self._warned = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def metrics(self, values: dict[str, Any]) -> None:
        """One line of metrics.jsonl."""
        now, step = int(time.time() * 1000), int(values["step"])
        self._waiting += [
            (name, float(value), now, step) for name, value in values.items() if name not in NOT_CURVES
        ]
        self._warn()

    def close(self, end: str, patience: float) -> None:
        """Waits up to `patience` seconds for what is left to be taken."""
        self._status = STATUS[end]
        self._ended.set()
        self._thread.join(patience)
        if self._thread.is_alive():
            self._trouble = self._trouble or f"no answer within {patience:.0f} seconds"
        self._warn()

    def _warn(self) -> None:
        if self._trouble and not self._warned:
            self._warned = True
            message = f"MLflow doesn't take this run for now ({self._trouble}); training goes on without it"
            self._log.event("tracking", message, level="warn")

    def _work(self) -> None:
        last = False
        while not last:
            last = self._ended.wait(TURN_SECONDS)
            try:
                self._send(last)
            except Exception as error:  # whatever a server or its client raises: the run is worth more
                self._trouble = f"{type(error).__name__}: {_PASSWORD.sub('://', str(error))}"[:500]

    def _send(self, last: bool) -> None:
        client = self._client = self._client or _client(self._server.uri)
        self._run = self._run or self._open(client)
        from mlflow.entities import Metric, Param

        while self._untold:
            some = self._untold[:PARAMS_AT_ONCE]
            client.log_batch(self._run, params=[Param(name, value) for name, value in some])
            del self._untold[: len(some)]
        while self._waiting:
            several = self._waiting[:AT_ONCE]
            client.log_batch(self._run, metrics=[Metric(*each) for each in several])
            del self._waiting[: len(several)]
        if last:
            try:
                for path in self._pictures():
                    client.log_artifact(self._run, str(path))
            finally:
                client.set_terminated(self._run, self._status)

    def _pictures(self) -> list[Path]:
        """The curve and the card of a run that has come to its end."""
        if self._status != STATUS["finished"]:
            return []
        here = self._place.path
        return [path for path in (here / CURVE, *here.glob(f"*/{CARD}")) if path.exists()]

    def _open(self, client: Any) -> str:
        """The run's id: of the one that is noted in the output and that the server still has, else of a new one."""
        from mlflow.exceptions import MlflowException

        server = hashlib.sha256(self._server.uri.encode()).hexdigest()
        note = self._place.path / NOTE
        if note.exists() or self._place.fetch(NOTE):
            told = json.loads(note.read_bytes())
            if told["server"] == server:
                try:
                    client.update_run(told["run"], status="RUNNING")
                    return str(told["run"])
                except MlflowException as error:
                    if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                        raise
        experiment = _experiment(client, self._server.experiment)
        run = str(client.create_run(experiment, run_name=self._spec.name, tags=_tags(self._spec)).info.run_id)
        self._untold = [(name, value[:LONGEST]) for name, value in _flat(plain(self._spec))]
        note.write_text(json.dumps({"server": server, "run": run}), encoding="utf-8")
        self._place.put(NOTE)
        return run


def _client(uri: str) -> Any:
    """MLflow's own, which by itself tries for minutes."""
    from mlflow import MlflowClient, environment_variables

    variables: Any = environment_variables
    for variable, value in (
        (variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES, 1),
        (variables.MLFLOW_HTTP_REQUEST_TIMEOUT, 10),
    ):
        if not variable.is_set():
            variable.set(value)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def _tags(spec: TrainingSpec) -> dict[str, str]:
    tags = {"genai_stack.job": spec.name, "genai_stack.method": spec.method, "genai_stack.output": spec.output}
    for name, source in (("train", spec.data.train), ("validation", spec.data.validation)):
        if source:
            tags[f"genai_stack.data.{name}"] = _digest(source)
    return tags


def _digest(source: str) -> str:
    """SHA-256 of the data; of several files, of their digests in the files' order."""
    try:
        found = [digest(Path(file)) for file in data_files(source)]
    except (GenAIStackError, OSError):
        return "unknown"
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _flat(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{above}{name}.")
        else:
            yield f"{above}{name}", item if isinstance(item, str) else json.dumps(item)
