"""What both programs share: a spec from the command line, a signal that asks to stop, an exit code for every end."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TypeVar

from ..errors import GenAIStackError, InvalidData, InvalidModel, InvalidSpec
from .files import RunLog
from .places import Place, open_place, read_bytes
from .specs import BatchSpec, EvaluationSpec, read

DONE, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 75
UNUSABLE = (InvalidSpec, InvalidData, InvalidModel)


class Interrupted(Exception):
    """The run was asked to stop, and did so in a state the same command can go on from."""


S = TypeVar("S", BatchSpec, EvaluationSpec)
Work = Callable[[S, Place, RunLog, threading.Event], None]


def main(module: str, kind: type[S], work: Work[S], arguments: list[str] | None = None) -> int:
    """Runs `work` on the spec named on the command line: 0 done, 1 failed, 2 bad spec or data, 75 interrupted (the
    same command goes on). `work` gets the output's place, its log, and the event that SIGTERM and SIGINT set."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("spec", help="a JSON or TOML file, or s3://bucket/key")
    name = str(parser.parse_args(arguments).spec)
    with stopping() as stop:
        try:
            spec = read(read_bytes(name), kind, name)
            place = open_place(spec.output)
            log = RunLog(place.path)
        except UNUSABLE as error:
            return _say(error.message, INVALID)
        except GenAIStackError as error:
            return _say(error.message, FAILED)
        except OSError as error:
            return _say(f"output: {error.filename or ''}: {error.strerror}; name another place", INVALID)
        code = _run(lambda: work(spec, place, log, stop), log)
        try:
            log.close()
            place.push()
        except (GenAIStackError, OSError) as error:
            return _say(f"output: can't be stored: {error}; run it again", FAILED)
        finally:
            place.close()
        return code


def _run(work: Callable[[], None], log: RunLog) -> int:
    try:
        work()
    except UNUSABLE as error:
        return _end(log, "invalid", error.message, INVALID)
    except GenAIStackError as error:
        return _end(log, "failed", error.message, FAILED)
    except Interrupted as error:
        return _end(log, "interrupted", str(error), INTERRUPTED, level="warn")
    except Exception as error:  # the process's edge: what a library raises becomes the last event
        return _end(log, "failed", f"{type(error).__name__}: {error}", FAILED)
    return DONE


def _end(log: RunLog, type_: str, message: str, code: int, *, level: str = "error") -> int:
    with suppress(OSError):  # a full disk may be what the message is about
        log.event(type_, message, level=level)
    return _say(message, code)


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """The event that SIGTERM and SIGINT set while entered. Off the main thread nothing sets it."""
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
