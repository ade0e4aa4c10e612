"""`python -m genai_stack.training SPEC`: exits 0 done, 1 failed, 2 bad spec or data, 75 interrupted (rerun resumes)."""

from __future__ import annotations

import argparse
import sys

from ..errors import GenAIStackError, InvalidData, InvalidModel, InvalidSpec, Overloaded
from . import devices, ranks
from .interrupts import Interrupted, on_signal, stop_now
from .outputs import RunLog
from .place import Place, mirrored, open_place, read_spec
from .spec import TrainingSpec

DONE, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 75


def main(arguments: list[str] | None = None) -> int:
    """Runs the spec named on the command line; every way it can end is an exit code and one message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training", description=__doc__)
    parser.add_argument("spec", help="a TOML or JSON file, or the s3:// address of one")
    where = parser.parse_args(arguments).spec
    try:
        with on_signal(stop_now):
            spec = read_spec(where)
            place = open_place(spec.output)
            place.path.mkdir(parents=True, exist_ok=True)
            with mirrored(place), RunLog(place.path, quiet=not ranks.is_first()) as log:
                return _run(spec, place, log)
    except InvalidSpec as error:
        return _say(error.message, INVALID)
    except GenAIStackError as error:
        return _say(error.message, FAILED)
    except Interrupted as error:
        return _say(str(error), INTERRUPTED)
    except OSError as error:
        return _say(f"output: {error.filename or ''}: {error.strerror}", INVALID)


def _run(spec: TrainingSpec, place: Place, log: RunLog) -> int:
    def ended(kind: str, message: str, code: int, level: str = "error") -> int:
        log.event(kind, message, level=level)
        return _say(message, code)

    try:
        from .run import run

        run(spec, place, log)
    except (InvalidSpec, InvalidData, InvalidModel) as error:
        return ended("invalid", error.message, INVALID)
    except Overloaded as error:
        return ended("interrupted", f"{error.message}; the same command resumes", INTERRUPTED, level="warn")
    except GenAIStackError as error:
        return ended("failed", error.message, FAILED)
    except Interrupted as error:
        return ended("interrupted", str(error), INTERRUPTED, level="warn")
    except Exception as error:  # the process's edge: what a library raises becomes the last event
        if devices.out_of_memory(error):
            return ended("failed", f"out of memory; lower batch_size or max_length ({error})", FAILED)
        if ranks.lost_another(error):
            message = f"another process of the run is gone ({error}); the same command resumes"
            return ended("interrupted", message, INTERRUPTED, level="warn")
        return ended("failed", f"{type(error).__name__}: {error}", FAILED)
    return DONE


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
