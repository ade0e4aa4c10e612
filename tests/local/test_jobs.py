"""The table of jobs, where no process is needed to see what it does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from genai_stack.local import jobs as jobs_module
from genai_stack.local.home import Home
from genai_stack.local.jobs import JobTable
from genai_stack.ports import JobRequest


def test_a_table_from_before_pauses_were_counted_goes_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    before = jobs_module.SCHEMA.replace(",\n    halted REAL,\n    idle REAL NOT NULL DEFAULT 0", "")
    assert "idle" not in before
    home.records.parent.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(home.records) as connection:
        connection.executescript(before)
        connection.execute("INSERT INTO jobs (id, kind, spec, created) VALUES ('old', 'train', '{}', 1.0)")
    connection.close()
    for _ in range(2):
        table = JobTable(home)
        assert table.get("old").job.idle == 0.0
        table.close()


def test_a_job_that_was_paused_before_it_ran_was_not_idle(tmp_path: Path) -> None:
    table = JobTable(Home(tmp_path))
    table.insert(JobRequest("j", "train", {}))
    table.pause("j")
    table.resume("j")
    table.start("j")
    assert table.get("j").job.idle == 0.0
    table.pause("j")
    table.resume("j")
    table.pause("j")
    table.resume("j")
    table.start("j")
    table.start("j")  # after a loss
    job = table.get("j").job
    assert job.started is not None
    assert job.idle > 0
    table.close()
