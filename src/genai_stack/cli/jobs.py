"""`genai-stack jobs`: what runs on the bottom layer, and what has run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from . import show
from .options import home_option, json_option, services


@click.group()
def jobs() -> None:
    """Jobs of this home directory: training, evaluations, batches."""


@jobs.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@home_option
@json_option
def list_jobs(limit: int, home: Path, as_json: bool) -> None:
    """List jobs, newest first."""
    found = services(home).jobs.list(limit=limit)
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
@json_option
def show_job(id: str, home: Path, as_json: bool) -> None:
    """Show one job and how far it is."""
    queue = services(home).jobs
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
@json_option
def cancel_job(id: str, home: Path, as_json: bool) -> None:
    """Stop a job; nothing happens to one that has ended."""
    job = services(home).jobs.cancel(id)
    if as_json:
        show.document(job)
    else:
        click.echo(f"{job.id} {job.state}")


@jobs.command("logs")
@click.argument("id")
@home_option
def job_log(id: str, home: Path) -> None:
    """Print what a job's program printed."""
    click.echo(services(home).jobs.log(id), nl=False)


@jobs.command("events")
@click.argument("id")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@home_option
@json_option
def job_events(id: str, follow: bool, home: Path, as_json: bool) -> None:
    """Print what a job reported; with --json a JSON object per line, as they come."""
    from ..ports import FINAL_STATES

    queue = services(home).jobs
    told = 0
    while True:
        ended = queue.get(id).state in FINAL_STATES
        news = queue.events(id, after=told)
        told += len(news)
        for event in news:
            _tell(event, as_json)
        if ended or not follow:
            return
        time.sleep(0.2)


def _tell(event: dict[str, Any], as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(event))
    else:
        click.echo(
            f"{show.moment(event.get('time'))}  {event.get('level', 'info'):<5}  {event.get('message', '')}"
        )
