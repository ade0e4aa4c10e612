"""`genai-stack jobs`: what runs on the bottom layer, and what has run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import show
from .options import home_option, json_option, services, stage_option

if TYPE_CHECKING:
    from ..ports import Job


@click.group()
def jobs() -> None:
    """Jobs of this home directory, or of a deployed stage: training, evaluations, batches."""


@jobs.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@home_option
@stage_option
@json_option
def list_jobs(limit: int, home: Path, stage: str | None, as_json: bool) -> None:
    """List jobs, newest first."""
    found = services(home, stage).jobs.list(limit=limit)
    if as_json:
        show.document(found)
        return
    lines = [
        (job.id, job.kind, job.state, show.moment(job.created) or "", job.model or job.error or "-")
        for job in found
    ]
    show.rows(
        ("id", "kind", "state", "created", "model or error"),
        lines,
        empty="no jobs; see: genai-stack train --help",
    )


@jobs.command("show")
@click.argument("id")
@home_option
@stage_option
@json_option
def show_job(id: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Show one job and how far it is."""
    queue = services(home, stage).jobs
    job = queue.get(id)
    if as_json:
        show.document(job)
        return
    metrics = queue.metrics(id)
    last: dict[str, Any] = next((m for m in reversed(metrics) if "loss" in m), {})
    counts: dict[str, Any] = next((m for m in reversed(metrics) if "completed" in m), {})
    show.fields(
        [
            ("id", job.id),
            ("kind", job.kind),
            ("state", job.state),
            ("model", job.model),
            ("error", job.error),
            ("step", f"{last['step']} of {last['total_steps']}" if last else None),
            ("loss", f"{last['loss']:.4f}" if last else None),
            ("answered", f"{counts['completed']} of {counts['total']}" if counts else None),
            ("failed", counts.get("failed") or None),
            ("created", show.moment(job.created)),
            ("started", show.moment(job.started)),
            ("finished", show.moment(job.finished)),
            ("output", job.output),
        ]
    )


@jobs.command("cancel")
@click.argument("id")
@home_option
@stage_option
@json_option
def cancel_job(id: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Stop a job; nothing happens to one that has ended."""
    _state(services(home, stage).jobs.cancel(id), as_json)


@jobs.command("pause")
@click.argument("id")
@home_option
@stage_option
@json_option
def pause_job(id: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Interrupt a job until it is resumed; it keeps what it has come to."""
    _state(services(home, stage).jobs.pause(id), as_json)


@jobs.command("resume")
@click.argument("id")
@home_option
@stage_option
@json_option
def resume_job(id: str, home: Path, stage: str | None, as_json: bool) -> None:
    """Let a paused job go on."""
    _state(services(home, stage).jobs.resume(id), as_json)


@jobs.command("logs")
@click.argument("id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@home_option
@stage_option
def job_log(id: str, follow: bool, home: Path, stage: str | None) -> None:
    """Print what a job's program printed: on a stage, what its last attempt did."""
    from ..ports import FINAL_STATES

    queue = services(home, stage).jobs
    pause, told, ended = _pause(stage), "", not follow
    while True:
        text = queue.log(id)
        # A new attempt begins its log anew.
        click.echo(text.removeprefix(told), nl=False)
        told = text
        if ended:
            return
        # The log comes after the state: it is read once more when the job has ended.
        ended = queue.get(id).state in FINAL_STATES
        time.sleep(pause)


@jobs.command("events")
@click.argument("id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@home_option
@stage_option
@json_option
def job_events(id: str, follow: bool, home: Path, stage: str | None, as_json: bool) -> None:
    """Print what a job reported; with --json a JSON object per line, as they come."""
    from ..ports import FINAL_STATES

    queue = services(home, stage).jobs
    told = 0
    while True:
        ended = queue.get(id).state in FINAL_STATES
        news = queue.events(id, after=told)
        told += len(news)
        for event in news:
            _tell(event, as_json)
        if ended or not follow:
            return
        time.sleep(_pause(stage))


def _state(job: Job, as_json: bool) -> None:
    if as_json:
        show.document(job)
    else:
        click.echo(f"{job.id} {job.state}")


def _pause(stage: str | None) -> float:
    """Seconds between two looks at a job."""
    from ..client.places import Stage, ThisMachine

    return Stage.poll if stage else ThisMachine.poll


def _tell(event: dict[str, Any], as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(event))
    else:
        click.echo(
            f"{show.moment(event.get('time'))}  {event.get('level', 'info'):<5}  {event.get('message', '')}"
        )
