"""What the API's bundle costs to start: processor seconds from `run.sh` to its first answer, and to one with a key.

    python -m benchmarks.start

The very bundle that deploys, for this machine's processor, against the tests' account on it; the best and the median of
ROUNDS starts, user and system time together. The promise: 0.5 s to the first answer.
"""

from __future__ import annotations

import http.client
import os
import statistics
import tempfile
from pathlib import Path

import msgspec
import psutil

from cdk.constructs.api_bundle import bundle_api
from cdk.constructs.bundles import HERE
from genai_stack import names
from genai_stack.aws.records import DynamoRecords
from genai_stack.config import ServiceConfig
from genai_stack.service.keys import ApiKeys
from tests.aws.account import account
from tests.aws.api_bundle import environment_of, started
from tests.aws.hosting import hosted
from tests.contracts.adapters import made_bucket, made_table

ROUNDS = 7
STAGE = "start"


def deployed(root: Path) -> str:
    """A stage with a model and a key, which is returned."""
    os.environ.update(account().environment)
    ssm, table = account().client("ssm"), made_table(root)
    queue = "arn:aws:batch:eu-central-1:123456789012:job-queue/q"
    told = {
        **dict.fromkeys(("spot-queue", "multi-node-queue"), queue),
        **dict.fromkeys(("train-definition", "evaluate-definition", "batch-definition"), "d:1"),
        "train-multi-node-definition": "d:1",
        "artefact-bucket": made_bucket(root),
        "records-table": table,
        "log-group": "/l",
        "sagemaker": "{}",
    }
    for what, value in told.items():
        ssm.put_parameter(Name=names.parameter(STAGE, "training", what), Value=value, Type="String")
    model = msgspec.json.encode(hosted("m")).decode()
    ssm.put_parameter(Name=names.parameter(STAGE, "hosting", names.hosted("m")), Value=model, Type="String")
    return ApiKeys(DynamoRecords(table)).create("start")[1]


def spent(port: int) -> float:
    """Of the process that listens there, and its children."""
    (pid,) = {
        c.pid
        for c in psutil.net_connections("tcp")
        if c.laddr and c.laddr.port == port and c.status == "LISTEN"
    }
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def models(port: int, key: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {key}"})
    if connection.getresponse().status != 200:
        raise SystemExit("the key isn't taken")
    connection.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bundle_api(ServiceConfig(), root / "api", HERE)
        key = deployed(root)
        environment = environment_of(account().environment, STAGE, "http://127.0.0.1:9")
        first: list[float] = []
        keyed: list[float] = []
        for n in range(ROUNDS):
            with started(root / "api", root / f"bin-{n}", environment) as (port, _):
                first.append(spent(port))
                models(port, key)
                keyed.append(spent(port))
    for name, found in (("to the first answer", first), ("to the first with a key", keyed)):
        print(f"{name:28} {min(found):.2f} s at best, {statistics.median(found):.2f} s in the middle")


if __name__ == "__main__":
    main()
