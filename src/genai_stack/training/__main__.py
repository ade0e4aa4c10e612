"""`python -m genai_stack.training SPEC`: exits 0 done, 1 failed, 2 bad spec or data, 75 interrupted (rerun resumes)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import GenAIStackError, InvalidData, InvalidModel, InvalidSpec
from .interrupts import Interrupted, on_signal, stop_now
from .outputs import RunLog
from .spec import load

DONE, FAILED, INVALID, INTERRUPTED = 0, 1, 2, 75


def main(arguments: list[str] | None = None) -> int:
    """Runs the spec named on the command line; every way it can end is an exit code and one message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training", description=__doc__)
    parser.add_argument("spec", type=Path, help="a TOML or JSON file")
    path = parser.parse_args(arguments).spec
    try:
        spec = load(path)
        log = RunLog(Path(spec.output))
    except InvalidSpec as error:
        return _say(error.message, INVALID)
    except OSError as error:
        return _say(f"output: {error.filename or ''}: {error.strerror}", INVALID)
    try:
        with on_signal(stop_now):
            from .run import run

            run(spec, log)
    except (InvalidSpec, InvalidData, InvalidModel) as error:
        log.event("invalid", error.message, level="error")
        return _say(error.message, INVALID)
    except GenAIStackError as error:
        log.event("failed", error.message, level="error")
        return _say(error.message, FAILED)
    except Interrupted as error:
        log.event("interrupted", str(error), level="warn")
        return _say(str(error), INTERRUPTED)
    except MemoryError:
        log.event("failed", "out of memory; lower batch_size or max_length", level="error")
        return _say("out of memory; lower batch_size or max_length", FAILED)
    except Exception as error:  # the process's edge: what a library raises becomes the last event
        message = f"{type(error).__name__}: {error}"
        log.event("failed", message, level="error")
        return _say(message, FAILED)
    finally:
        log.close()
    return DONE


def _say(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
