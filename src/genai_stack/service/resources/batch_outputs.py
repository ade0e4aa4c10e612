"""What a batch's job has answered: its output files where it is done, what is finished of them where it was stopped.

A job that was stopped leaves `parts/<n>.jsonl`, lines of `{"line", "entry"}` (see `bulk.ledger`), of which the first
entry of a line counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from typing import Any

import msgspec

from ...errors import NotFound, ObjectNotFound
from ...ports import JobQueue

OUTPUT, ERRORS = "output.jsonl", "errors.jsonl"


class _Response(msgspec.Struct):
    status_code: int


class _Entry(msgspec.Struct):
    response: _Response | None = None
    error: Any = None


class _Finished(msgspec.Struct):
    line: int
    entry: msgspec.Raw


def whole(jobs: JobQueue, job: str, name: str) -> Iterator[bytes]:
    """Raises ObjectNotFound."""
    return jobs.output(job, name)


def partial(jobs: JobQueue, job: str, name: str) -> Iterator[bytes]:
    """The lines that are finished, in the order they were; none where there are none."""
    try:
        yield from jobs.output(job, name)
        return
    except (NotFound, ObjectNotFound):
        pass
    seen: set[int] = set()
    with suppress(NotFound, ObjectNotFound):
        for number in count(1):
            for line in _lines(jobs.output(job, f"parts/{number:05}.jsonl")):
                try:
                    finished = msgspec.json.decode(line, type=_Finished)
                    entry = msgspec.json.decode(finished.entry, type=_Entry)
                except (msgspec.DecodeError, UnicodeDecodeError):
                    continue  # torn by a kill
                if finished.line in seen:
                    continue
                seen.add(finished.line)
                good = entry.error is None and entry.response is not None and entry.response.status_code == 200
                if good == (name == OUTPUT):
                    yield bytes(finished.entry) + b"\n"


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Whole lines; a torn last one doesn't count."""
    held = b""
    for chunk in chunks:
        *lines, held = (held + chunk).split(b"\n")
        yield from lines
