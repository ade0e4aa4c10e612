"""`python -m genai_stack.training.keeper SPEC`: the training program where nobody runs it again for its exit code.

AWS Batch starts a job anew that ended with 75. SageMaker calls every exit code but 0 a failed job, and starts a job
again only when it took the machine away itself. So here a run that was interrupted from within (a lost peer, S3 out of
reach, out of memory among several processes) is run again in the same container. One that SIGTERM interrupted has
committed its checkpoint, and then waits to be killed: an end of its own would be taken for a failure.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

INTERRUPTED = 75
ATTEMPTS = 5
KILLED_SECONDS = 130.0
"""SageMaker kills 120 seconds after SIGTERM
(https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html)."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training.keeper", description=__doc__)
    parser.add_argument("spec", help="what the training program takes")
    spec: str = parser.parse_args(arguments).spec
    return keep([sys.executable, "-m", "genai_stack.training.launch", spec])


def keep(command: Sequence[str]) -> int:
    """Runs `command` until it ends with something else than 75, and passes SIGTERM on. Returns its last exit code, as a
    shell would; 75 only where it was interrupted too often, or nobody killed this process after SIGTERM."""
    asked = False
    running: subprocess.Popen[bytes] | None = None

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        if running is not None:
            running.send_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        for attempt in range(1, ATTEMPTS + 1):
            running = subprocess.Popen(command)
            if asked:  # before the first attempt, or between two
                running.send_signal(signal.SIGTERM)
            code = running.wait()
            if asked and code:
                time.sleep(KILLED_SECONDS)
                return INTERRUPTED
            if code != INTERRUPTED:
                return code if code >= 0 else 128 - code
            print(f"attempt {attempt} of {ATTEMPTS} was interrupted", file=sys.stderr, flush=True)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
