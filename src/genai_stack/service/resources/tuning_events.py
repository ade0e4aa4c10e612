"""What a fine-tuning job tells of itself: the training program's events and metrics as OpenAI's, and its results."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from ...protocol.tuning import CheckpointMetrics, TuningCheckpoint, TuningEvent
from .tuning_records import KeptCheckpoint, StoredTuning

Line = Mapping[str, Any]
_FRAME = ("time", "level", "type", "message")
_LEVELS = ("info", "warn", "error")
COLUMNS = ("step", "train_loss", "valid_loss", "learning_rate", "tokens")


def events(
    job: StoredTuning, told: Sequence[Line], measured: Sequence[Line], hidden: Mapping[str, str]
) -> list[TuningEvent]:
    """Oldest first. `hidden` are the addresses that messages say, and what is shown in their place."""
    first = TuningEvent(
        _id(job, "a", 0), job.created_at, "info", f"Created fine-tuning job: {job.id}", "message", {}
    )
    lines = [(_time(line, job), 0, n, line) for n, line in enumerate(told)]
    lines += [(_time(line, job), 1, n, line) for n, line in enumerate(measured)]
    found = [first]
    for at, kind, number, line in sorted(lines, key=lambda line: line[:3]):
        found.append(_metrics(job, at, number, line) if kind else _message(job, at, number, line, hidden))
    return found


def metrics(line: Line) -> dict[str, Any]:
    """A line of metrics.jsonl by the names that OpenAI has for it."""
    names = {"loss": "train_loss", "validation_loss": "valid_loss"}
    plain = {names.get(name, name): value for name, value in line.items() if name != "time"}
    return {name: value for name, value in plain.items() if not _odd(value)}


def results(measured: Sequence[Line]) -> Iterator[bytes]:
    """The step metrics as CSV, as OpenAI's results files are."""
    yield (",".join(COLUMNS) + "\n").encode()
    for line in measured:
        told = metrics(line)
        yield (",".join(str(told.get(name, "")) for name in COLUMNS) + "\n").encode()


def checkpoints(job: StoredTuning, measured: Sequence[Line]) -> list[TuningCheckpoint]:
    """What a job that has ended kept on its way, the newest first; of one that succeeded that is the model itself."""
    told = [metrics(line) for line in measured]
    found = [*job.checkpoints]
    if job.fine_tuned_model is not None and job.finished_at is not None:
        last = max((int(line.get("step", 0)) for line in told), default=0)
        found.append(KeptCheckpoint(last, job.finished_at, job.fine_tuned_model))
    return [_checkpoint(job, one, told) for one in reversed(found)]


def _checkpoint(job: StoredTuning, kept: KeptCheckpoint, told: Sequence[Line]) -> TuningCheckpoint:
    """With the last losses that were measured up to its step."""
    before = [line for line in told if line.get("step", 0) <= kept.step]
    loss = next((line["train_loss"] for line in reversed(before) if "train_loss" in line), None)
    held = next((line["valid_loss"] for line in reversed(before) if "valid_loss" in line), None)
    return TuningCheckpoint(
        id=f"ftckpt_{_tail(job)}{kept.step:08}",
        created_at=kept.created_at,
        fine_tuned_model_checkpoint=kept.model,
        fine_tuning_job_id=job.id,
        metrics=CheckpointMetrics(kept.step, loss, held, held),
        step_number=kept.step,
    )


def finish(measured: Sequence[Line], started: float | None) -> int | None:
    """When the steps that are left will be done, at the pace of those that are."""
    line = measured[-1] if measured else {}
    at, step, total = line.get("time"), line.get("step"), line.get("total_steps")
    numbers = all(isinstance(value, int | float) for value in (at, step, total))
    if not numbers or started is None or cast(float, step) <= 0:
        return None
    return int(started + (cast(float, at) - started) / cast(float, step) * cast(float, total))


def _message(job: StoredTuning, at: float, number: int, line: Line, hidden: Mapping[str, str]) -> TuningEvent:
    text, level = str(line.get("message", "")), line.get("level")
    for address, shown in hidden.items():
        text = text.replace(address, shown)
    known = cast(Literal["info", "warn", "error"], level if level in _LEVELS else "info")
    data = {name: value for name, value in line.items() if name not in _FRAME and not _odd(value)}
    return TuningEvent(_id(job, "e", number), int(at), known, text, "message", data)


def _metrics(job: StoredTuning, at: float, number: int, line: Line) -> TuningEvent:
    told = metrics(line)
    losses = [f"{what}={told[name]:.4f}" for what, name in _SHOWN if isinstance(told.get(name), float)]
    text = f"Step {told.get('step', '?')}/{told.get('total_steps', '?')}: {', '.join(losses)}"
    return TuningEvent(_id(job, "m", number), int(at), "info", text, "metrics", told)


_SHOWN = (("training loss", "train_loss"), ("validation loss", "valid_loss"))


def _id(job: StoredTuning, kind: str, number: int) -> str:
    return f"ftevent-{_tail(job)}{kind}{number:08}"


def _tail(job: StoredTuning) -> str:
    return job.id.rpartition("-")[2]


def _time(line: Line, job: StoredTuning) -> float:
    at = line.get("time")
    return float(at) if isinstance(at, int | float) else float(job.created_at)


def _odd(value: Any) -> bool:
    """What JSON has no word for."""
    return isinstance(value, float) and not math.isfinite(value)
