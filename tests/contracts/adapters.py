"""Each port's adapters by name, and all of them held to the same suites.

`aws` stands on the account that the environment names: the loopback one of tests/aws/account.py (see conftest.py)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai_stack.local.home import Home
from genai_stack.local.objects import DirectoryObjects
from genai_stack.local.queue import ProcessJobs
from genai_stack.local.records import SqliteRecords
from genai_stack.ports import JobQueue, ObjectStore, RecordStore, VectorIndex
from genai_stack.registry import RecordedModels

if TYPE_CHECKING:
    from genai_stack.aws.host import SageMakerHost
    from genai_stack.aws.jobs import BatchJobs
    from genai_stack.aws.objects import S3Objects
    from genai_stack.aws.records import DynamoRecords
    from genai_stack.local.host import LoopbackHost
    from genai_stack.ports import ModelHost
    from tests.aws.runtime_stand_in import StandIn

HERE = Path(__file__).parent
PROGRAMS = {"tiny": "tiny_job"}
GRACE = 0.5


def _records(root: Path) -> SqliteRecords:
    return SqliteRecords(root / "records.sqlite")


def _objects(root: Path) -> DirectoryObjects:
    return DirectoryObjects(root / "objects")


def _jobs(root: Path) -> ProcessJobs:
    return ProcessJobs(Home(root), programs=PROGRAMS, grace=GRACE)


def _registry(root: Path) -> RecordedModels:
    return RecordedModels(_records(root))


def _vectors(root: Path) -> VectorIndex:
    from genai_stack.local.vectors import SqliteVectors  # here, since other suites' children need no numpy

    return SqliteVectors(root / "vectors")


def _host(root: Path) -> LoopbackHost:
    """Over a model server that only echoes (fake_hosting.py)."""
    from genai_stack.local.host import LoopbackHost  # here, since the other suites' children need no aiohttp

    return LoopbackHost(Home(root), _registry(root), program="fake_hosting")


def _sagemaker(root: Path) -> SageMakerHost:
    """Through a loopback sagemaker-runtime, behind which is what the local host stands on."""
    from genai_stack import names
    from genai_stack.aws.host import SageMakerHost
    from genai_stack.hosted import HostedModel
    from genai_stack.local.host import LoopbackHost
    from tests.aws.runtime_stand_in import StandIn

    registry, seen = _aws_registry(root), set[str]()

    def model_of(component: str) -> str | None:
        seen.update(version.name for version in registry.list())
        return next((name for name in seen if names.component("dev", name) == component), None)

    stand_in = StandIn(LoopbackHost(Home(root), registry, program="fake_hosting"), model_of)
    STAND_INS.append(stand_in)
    os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = stand_in.url
    hosted = {
        name: HostedModel(
            name, "chat", "builtin", names.endpoint("dev", name), "role", "image", {}, 1, 1024, 0, 1, 1, 8, 60
        )
        for name in ("builtin", "all-minilm-l6-v2", "slow")
    }
    return SageMakerHost("dev", registry, hosted, stand_in, pauses=(0.05,))


STAND_INS: list[StandIn] = []
"""Those that are open; the test that opened one closes it (conftest.py)."""


def _dynamo(root: Path) -> DynamoRecords:
    from genai_stack.aws.records import DynamoRecords

    return DynamoRecords(made_table(root))


def _s3(root: Path) -> S3Objects:
    from genai_stack.aws.objects import S3Objects

    return S3Objects(made_bucket(root))


def _s3_vectors(root: Path) -> VectorIndex:
    from genai_stack.aws.vectors import S3Vectors

    return S3Vectors(made_vector_bucket(root), _dynamo(root), _s3(root))


def _batch(root: Path) -> BatchJobs:
    """Over a Batch that runs the programs as processes of this machine."""
    from genai_stack.aws.jobs import BatchJobs, Fleet
    from tests.aws.batch_stand_in import stand_in

    bucket, definitions = made_bucket(root), {"tiny": "tiny-definition"}
    log_group = f"/{_name(root)}"
    fleet = Fleet(bucket, "spot", "multi-node", definitions, {}, log_group)
    batch = stand_in(root, programs={"tiny-definition": "tiny_job"}, bucket=bucket, log_group=log_group)
    return BatchJobs(fleet, _dynamo(root), _s3(root), _aws_registry(root), batch=batch)


def _aws_registry(root: Path) -> RecordedModels:
    return RecordedModels(_dynamo(root))


# Each opens the adapter on what `root` holds; called again, it is another process's view of the same.
RECORDS: Mapping[str, Callable[[Path], RecordStore]] = {"local": _records, "aws": _dynamo}
OBJECTS: Mapping[str, Callable[[Path], ObjectStore]] = {"local": _objects, "aws": _s3}
JOBS: Mapping[str, Callable[[Path], JobQueue]] = {"local": _jobs, "aws": _batch}
REGISTRIES: Mapping[str, Callable[[Path], RecordedModels]] = {"local": _registry, "aws": _aws_registry}
HOSTS: Mapping[str, Callable[[Path], ModelHost]] = {"local": _host, "aws": _sagemaker}


VECTORS: Mapping[str, Callable[[Path], VectorIndex]] = {"local": _vectors, "aws": _s3_vectors}


def takes_key(adapter: str, key: str) -> bool:
    """S3 can't be trusted with `.` and `..` between slashes, and S3Objects says so."""
    return adapter != "aws" or not {".", ".."} & set(key.split("/"))


def made_bucket(root: Path) -> str:
    """A bucket of `root`'s own, made when it isn't there."""
    from genai_stack.aws.session import client as aws

    name, client = _name(root), aws("s3")
    place: Any = {"LocationConstraint": client.meta.region_name}
    try:
        client.create_bucket(Bucket=name, CreateBucketConfiguration=place)
    except client.exceptions.BucketAlreadyOwnedByYou:
        pass
    finally:
        client.close()
    return name


def made_vector_bucket(root: Path) -> str:
    """A vector bucket of `root`'s own, made when it isn't there."""
    from genai_stack.aws.session import client as aws

    name, client = _name(root), aws("s3vectors")
    try:
        client.create_vector_bucket(vectorBucketName=name)
    except client.exceptions.ConflictException:
        pass
    finally:
        client.close()
    return name


def made_table(root: Path) -> str:
    """A table of `root`'s own, made when it isn't there."""
    from genai_stack.aws.session import client as aws

    name, client = _name(root), aws("dynamodb")
    keys: Any = {"collection": "HASH", "id": "RANGE"}
    try:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        )
    except client.exceptions.ResourceInUseException:
        pass
    finally:
        client.close()
    return name


def _name(root: Path) -> str:
    return f"genai-stack-{hashlib.sha256(str(root).encode()).hexdigest()[:40]}"


def child_path() -> str:
    """PYTHONPATH for children: the test programs, the tests, and the package as this process has it."""
    import genai_stack

    return f"{HERE}:{HERE.parents[1]}:{Path(genai_stack.__file__).parents[1]}"
