"""The only composition root: which adapters stand behind the ports, in each place the stack runs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .config import StackConfig
from .hosted import HostedModel
from .ports import ModelHost, ModelRegistry, ModelVersion, ObjectStore, Services

READER_BYTES = 1024 * 1024 * 1024
"""Of address space for the process that reads a document on a stage, whose function has not much more memory."""


def local_services(home: Path, config: StackConfig | None = None) -> Services:
    """Everything on this machine, its state under `home` (made when missing). `config` names the models; without it
    there are the built-in ones. Call `models.close()` at the end: it ends the model servers. Jobs run on."""
    from .documents.reader import ChildReader
    from .local.home import Home
    from .local.host import LoopbackHost
    from .local.objects import DirectoryObjects
    from .local.queue import ProcessJobs
    from .local.records import SqliteRecords
    from .local.vectors import SqliteVectors
    from .registry import RecordedModels

    config = config or StackConfig()
    place = Home(home)
    records = SqliteRecords(place.records)
    configured = [ModelVersion(model.name, model.source, model.task) for model in config.local_models]
    registry = RecordedModels(records, configured)
    options = [
        f"--{field.replace('_', '-')}={getattr(config.local, field)}"
        for field in config.local.__struct_fields__
    ]
    return Services(
        objects=DirectoryObjects(place.objects),
        records=records,
        jobs=ProcessJobs(place),
        registry=registry,
        models=LoopbackHost(place, registry, options=options),
        vectors=SqliteVectors(place.vectors),
        reader=ChildReader(),
    )


def aws_services(stage: str) -> Services:
    """What `stage` of this stack has in the account at hand, found by what its training stack published. Raises
    NotDeployedError, which names the stack to deploy. Where its hosting stack isn't deployed, `models` refuses them."""
    import msgspec

    services, bucket, hosted = _on_aws(stage, _stage_models)
    if hosted:
        from .aws.host import SageMakerHost

        assert isinstance(services.models, SageMakerHost)
        services = msgspec.structs.replace(services, long_work=services.models)
    if bucket is None:
        return services
    from .aws.vectors import S3Vectors
    from .documents.reader import ChildReader

    embedders = (model for model in hosted.values() if model.task == "embedding" and not model.asynchronous)
    return msgspec.structs.replace(
        services,
        vectors=S3Vectors(bucket, services.records, services.objects),
        reader=ChildReader(memory=READER_BYTES),
        embedders=tuple(model.name for model in embedders),
    )


def aws_jobs(stage: str) -> Services:
    """The same for a function that hears of jobs: it asks no model, so `models` refuses them all, and it carries no
    HTTP client."""
    from .aws.unhosted import UnhostedModels

    return _on_aws(stage, lambda stage, registry, hosted, bucket: UnhostedModels(stage))[0]


StageModels = Callable[[str, ModelRegistry, Mapping[str, HostedModel], str], ModelHost]


def _on_aws(stage: str, models: StageModels) -> tuple[Services, str | None, Mapping[str, HostedModel]]:
    """Without an index of vectors, whose bucket comes second, and last what is hosted."""
    import msgspec

    from .aws import published
    from .aws.jobs import BatchJobs, Fleet
    from .aws.objects import S3Objects
    from .aws.packages import MirroredModels
    from .aws.records import DynamoRecords
    from .aws.stage_jobs import StageJobs
    from .aws.training_jobs import TrainingJobs
    from .managed import ManagedTraining
    from .protocol.batch_lines import VLLM_ENDPOINTS
    from .registry import DEFAULTS, RecordedModels

    found = published.read_all(stage, "training")
    fleet = Fleet(
        bucket=found["artefact-bucket"],
        spot_queue=found["spot-queue"],
        multi_node_queue=found["multi-node-queue"],
        definitions={kind: found[f"{kind}-definition"] for kind in ("train", "evaluate", "batch")},
        multi_node={"train": found["train-multi-node-definition"]},
        log_group=found["log-group"],
    )
    records, objects = DynamoRecords(found["records-table"]), S3Objects(fleet.bucket)
    registry: ModelRegistry
    hosted = published.hosted_models(stage)
    catalogue = [ModelVersion(model.name, model.source, model.task) for model in hosted.values()]
    registry = recorded = RecordedModels(records, catalogue, unlisted=DEFAULTS)
    if hosted:
        registry = MirroredModels(stage, recorded, hosted)
    # Whoever looks at a job that has ended registers its model; the mirror is the events function's.
    batch = BatchJobs(fleet, records, objects, recorded)
    sagemaker = TrainingJobs(
        lambda: msgspec.json.decode(found["sagemaker"], type=ManagedTraining),
        fleet.bucket,
        records,
        objects,
        recorded,
    )
    services = Services(
        objects=objects,
        records=records,
        jobs=StageJobs(records, batch, sagemaker),
        registry=registry,
        models=models(stage, registry, hosted, fleet.bucket),
        batch_endpoints=VLLM_ENDPOINTS,
    )
    bucket = found["vector-bucket"].rpartition("/")[2] if "vector-bucket" in found else None
    return services, bucket, hosted


def _stage_models(
    stage: str, registry: ModelRegistry, hosted: Mapping[str, HostedModel], bucket: str
) -> ModelHost:
    from .aws.components import Components
    from .aws.host import SageMakerHost
    from .aws.lasting import Lasting
    from .aws.objects import S3Objects
    from .aws.unhosted import UnhostedModels

    if not hosted:
        return UnhostedModels(stage)
    components, lasting = Components(stage, hosted), Lasting(bucket, S3Objects)
    return SageMakerHost(stage, registry, hosted, components, promotion=components, lasting=lasting)


def job_models(home: Path, versions: Sequence[ModelVersion], limits: Mapping[str, object]) -> ModelHost:
    """A model host of one program's own: it serves `versions` and nothing else, from model servers that nobody joins
    and that end with it. `limits` are the server's, as `[local]` names them. Call `close()` at the end."""
    from .local.home import Home
    from .local.host import LoopbackHost
    from .local.records import SqliteRecords
    from .registry import RecordedModels

    place = Home(home)
    registry = RecordedModels(SqliteRecords(place.records), versions)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in limits.items()]
    return LoopbackHost(place, registry, options=options)


def object_store(uri: str) -> tuple[ObjectStore, str]:
    """The store and the key prefix that `s3://bucket/prefix` names."""
    from .aws.objects import S3Objects

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return S3Objects(bucket), prefix
