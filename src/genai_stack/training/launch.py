"""`python -m genai_stack.training.launch SPEC`: the training program on every GPU of this machine, and of its peers.

Inside a job of several nodes, on AWS Batch or SageMaker, they find each other by its variables; elsewhere this machine
is alone. The exit codes are the program's own (training/__main__.py), 75 if any process ended with it: torchrun by
itself would turn every one into 1.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import uuid
from typing import Any

from .. import settings
from ..loading import uncollected

PORT = 29400
MEET_SECONDS = 900
"""How long nodes wait for each other; Batch starts them together, and images take minutes to pull."""
DONE, INTERRUPTED = 0, 75


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training.launch", description=__doc__)
    parser.add_argument("spec", help="what the training program takes")
    parser.add_argument(
        "--processes", type=int, help="on this machine  [default: one for each GPU, one without any]"
    )
    given = parser.parse_args(arguments)
    nodes = settings.nodes()
    processes = given.processes or _gpus() or 1
    if processes * nodes.nodes == 1:
        sys.argv = ["genai_stack.training", given.spec]
        runpy.run_module("genai_stack.training", run_name="__main__", alter_sys=True)
    return _together(given.spec, processes, nodes)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _together(spec: str, processes: int, nodes: settings.Nodes) -> int:
    with uncollected():
        from torch.distributed.elastic.multiprocessing.api import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    alone = nodes.nodes == 1
    config = LaunchConfig(
        min_nodes=nodes.nodes,
        max_nodes=nodes.nodes,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex if alone else "genai-stack",
        rdzv_backend="c10d" if alone else "static",
        rdzv_endpoint=f"{nodes.main_address}:{0 if alone else PORT}",
        rdzv_configs={"rank": nodes.number, "timeout": MEET_SECONDS},
        max_restarts=0,
        local_addr="127.0.0.1" if alone else None,
    )
    run: Any = elastic_launch(config, sys.executable)
    try:
        run("-m", "genai_stack.training", spec)
    except ChildFailedError as error:
        return _code(error)
    except SignalException:
        return INTERRUPTED
    return DONE


def _code(error: Any) -> int:
    """The word of the process that failed first. One that was killed, as NCCL's watchdog does when a peer is lost, asks
    for another attempt."""
    first: int = error.get_first_failure()[1].exitcode
    return first if first > 0 else INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
