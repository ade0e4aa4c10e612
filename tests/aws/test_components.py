"""Inference components over a loopback SageMaker: made, moved, asked about and removed, and scaled."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack import names
from genai_stack.aws import archives
from genai_stack.aws.components import Components
from genai_stack.aws.objects import S3Objects
from genai_stack.aws.packages import VERSION, MirroredModels
from genai_stack.errors import Conflict, EngineFailed, GenAIStackError, InvalidModel, NotFound, RequestError
from genai_stack.hosted import HostedModel
from genai_stack.ports import ModelVersion
from genai_stack.registry import RecordedModels
from genai_stack.sources import WEIGHTS
from genai_stack.sources.directories import TEXTS
from tests.aws.account import Account
from tests.aws.fakes import MemoryRecords
from tests.aws.sagemaker_stand_in import Components as StandIn
from tests.contracts.adapters import made_bucket

HOSTED = HostedModel(
    name="qwen",
    task="chat",
    source="hf://org/qwen@main",
    endpoint="endpoint",
    role="arn:aws:iam::123456789012:role/qwen",
    image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/vllm:1",
    environment={"SM_VLLM_MODEL": "org/qwen", "SM_VLLM_REVISION": "main", "SM_VLLM_MAX_MODEL_LEN": "4096"},
    cpus=2.0,
    memory_mb=16384,
    accelerators=1,
    min_copies=0,
    max_copies=4,
    requests_per_copy=16,
    startup_seconds=900,
    adapters=8,
    alarms=("qwen-errors",),
)
NEXT = ModelVersion("qwen", "s3://bucket/models/2", version=2)


@pytest.fixture
def stage(tmp_path: Path) -> str:
    return f"s{abs(hash(str(tmp_path))) % 10**8}"


@pytest.fixture
def stand_in(aws: Account, quick: None) -> Iterator[StandIn]:
    made = StandIn()
    with aws.broken(made):
        yield made


@pytest.fixture
def hosted(stage: str) -> HostedModel:
    return msgspec.structs.replace(HOSTED, endpoint=names.endpoint(stage, "qwen"))


@pytest.fixture
def components(stage: str, stand_in: StandIn) -> Components:
    return Components(stage)


def base(stand_in: StandIn, stage: str) -> dict[str, Any]:
    return stand_in.there[names.component(stage, "qwen")]


def test_a_first_component_is_the_catalogue_s(
    aws: Account, components: Components, stand_in: StandIn, stage: str, hosted: HostedModel
) -> None:
    assert components.status("qwen") is None
    components.ensure(hosted)
    components.ensure(hosted)
    ((verb, asked),) = stand_in.asked
    assert (verb, asked["RuntimeConfig"], asked["VariantName"]) == ("create", {"CopyCount": 1}, names.VARIANT)
    assert asked["Specification"]["ComputeResourceRequirements"]["NumberOfAcceleratorDevicesRequired"] == 1
    made = aws.client("sagemaker").describe_model(ModelName=asked["Specification"]["ModelName"])
    assert made["PrimaryContainer"]["Environment"] == HOSTED.environment
    assert "ModelDataSource" not in made["PrimaryContainer"]
    assert not made.get("EnableNetworkIsolation")
    assert not components.settled(hosted)
    stand_in.settle()
    assert components.settled(hosted)
    assert components.settled(hosted)
    status = components.status("qwen")
    assert status is not None
    assert (status.state, status.copies, status.version, status.base) == ("in_service", 1, 0, None)


def test_copies_follow_requests_and_come_up_from_zero(
    aws: Account, components: Components, stand_in: StandIn, hosted: HostedModel
) -> None:
    components.ensure(hosted)
    stand_in.settle()
    assert components.settled(hosted)
    name = names.component(components._stage, "qwen")
    target = stand_in.targets[name]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (0, 4)
    assert target["ScalableDimension"] == "sagemaker:inference-component:DesiredCopyCount"
    tracked = stand_in.policies[f"{name}-requests"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracked["TargetValue"] == 16
    step = stand_in.policies[f"{name}-from-zero"]["StepScalingPolicyConfiguration"]
    assert step["StepAdjustments"] == [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}]
    (alarm,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[f"{name}-from-zero"])["MetricAlarms"]
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert (alarm["MetricName"], alarm["Threshold"]) == ("NoCapacityInvocationFailures", 1.0)
    assert alarm["AlarmActions"] == [f"arn:policy:{name}-from-zero"]
    components.ensure(msgspec.structs.replace(hosted, min_copies=1))
    assert stand_in.targets[name]["MinCapacity"] == 1
    assert list(stand_in.policies) == [f"{name}-requests"]
    assert not aws.client("cloudwatch").describe_alarms(AlarmNames=[f"{name}-from-zero"])["MetricAlarms"]


def test_a_promoted_model_survives_a_deployment(
    aws: Account, components: Components, stand_in: StandIn, stage: str, hosted: HostedModel
) -> None:
    components.ensure(hosted)
    stand_in.settle()
    assert components.serve(hosted, NEXT)
    with pytest.raises(Conflict, match="updating already"):
        components.serve(hosted, msgspec.structs.replace(NEXT, version=3))
    verb, asked = stand_in.asked[-1]
    assert verb == "update"
    rolling = asked["DeploymentConfig"]
    assert rolling["RollingUpdatePolicy"]["MaximumBatchSize"] == {"Type": "COPY_COUNT", "Value": 1}
    assert rolling["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": "qwen-errors"}]}
    model = aws.client("sagemaker").describe_model(ModelName=asked["Specification"]["ModelName"])
    data = model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert data == {"S3Uri": "s3://bucket/models/2/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    environment = model["PrimaryContainer"]["Environment"]
    assert environment == {"SM_VLLM_MODEL": "/opt/ml/model", "SM_VLLM_MAX_MODEL_LEN": "4096"}
    stand_in.settle()
    assert components.answers(NEXT, hosted, 0)
    before = len(stand_in.asked)
    components.ensure(msgspec.structs.replace(hosted, source="hf://org/other", image="image:2"))
    assert not components.serve(hosted, NEXT)
    assert len(stand_in.asked) == before
    status = components.status("qwen")
    assert status is not None
    assert status.version == 2


def test_what_the_catalogue_changes_moves_along(
    components: Components, stand_in: StandIn, hosted: HostedModel
) -> None:
    components.ensure(hosted)
    stand_in.settle()
    components.ensure(msgspec.structs.replace(hosted, source="hf://org/other@abc"))
    assert stand_in.asked[-1][0] == "update"


def test_a_failure_has_its_reason_and_a_retry_starts_anew(
    components: Components, stand_in: StandIn, stage: str, hosted: HostedModel
) -> None:
    components.ensure(hosted)
    stand_in.fail(names.component(stage, "qwen"), "out of memory")
    with pytest.raises(GenAIStackError, match="out of memory"):
        components.settled(hosted)
    components.ensure(hosted)
    stand_in.settle()
    assert not components.settled(hosted)
    stand_in.settle()
    assert components.settled(hosted)
    assert [verb for verb, _ in stand_in.asked] == ["create", "delete", "create"]


def until_it_answers(components: Components, version: ModelVersion, hosted: HostedModel) -> None:
    for look in range(10):
        if components.answers(version, hosted, look):
            return


def test_an_update_that_is_rolled_back_is_told(
    components: Components, stand_in: StandIn, stage: str, hosted: HostedModel
) -> None:
    components.ensure(hosted)
    stand_in.settle()
    components.serve(hosted, NEXT)
    stand_in.roll_back(names.component(stage, "qwen"), "alarm qwen-errors")
    with pytest.raises(EngineFailed, match="rolled back: alarm qwen-errors; nothing has changed"):
        until_it_answers(components, NEXT, hosted)


@pytest.fixture
def adapter(aws: Account, tmp_path: Path) -> ModelVersion:
    bucket = made_bucket(tmp_path)
    for name in ("adapter_config.json", "adapter_model.safetensors", "notes.py"):
        S3Objects(bucket).put(f"jobs/1/output/adapter/{name}", name.encode() * 300)
    source = f"s3://{bucket}/jobs/1/output/adapter"
    return ModelVersion("ft:qwen:x:1", source, base="qwen", job="1", parent="qwen@0", version=1)


def test_an_adapter_is_packed_and_attached(
    components: Components, stand_in: StandIn, stage: str, hosted: HostedModel, adapter: ModelVersion
) -> None:
    with pytest.raises(NotFound, match="nothing runs as 'qwen'"):
        components.attach(hosted, adapter)
    components.ensure(hosted)
    stand_in.settle()
    components.start(adapter, hosted)
    components.start(adapter, hosted)
    _, asked = stand_in.asked[-1]
    assert asked == {
        "InferenceComponentName": names.component(stage, adapter.name),
        "EndpointName": hosted.endpoint,
        "Specification": {
            "BaseInferenceComponentName": names.component(stage, "qwen"),
            "Container": {"ArtifactUrl": f"{adapter.source}.tar.gz"},
        },
    }
    bucket, _, key = f"{adapter.source}.tar.gz".removeprefix("s3://").partition("/")
    with tarfile.open(fileobj=io.BytesIO(S3Objects(bucket).get(key))) as archive:
        assert archive.getnames() == ["adapter_config.json", "adapter_model.safetensors"]
        weights = archive.extractfile("adapter_model.safetensors")
        assert weights is not None
        assert weights.read() == b"adapter_model.safetensors" * 300
    stand_in.settle()
    assert components.answers(adapter, hosted, 0)
    with pytest.raises(Conflict, match="1 adapters run on 'qwen'"):
        components.serve(hosted, NEXT)
    assert components.serve(
        msgspec.structs.replace(hosted, image="image:2"), ModelVersion("qwen", hosted.source)
    )


def test_a_failed_adapter_is_made_anew_without_a_word_to_scaling(
    aws: Account,
    components: Components,
    stand_in: StandIn,
    stage: str,
    hosted: HostedModel,
    adapter: ModelVersion,
) -> None:
    components.ensure(hosted)
    stand_in.settle()
    components.start(adapter, hosted)
    stand_in.fail(names.component(stage, adapter.name), "no memory")
    aws.seen.clear()
    with pytest.raises(EngineFailed, match="no memory"):
        components.start(adapter, hosted)
    assert {request.service for request in aws.seen} == {"sagemaker"}
    stand_in.settle()
    components.start(adapter, hosted)
    assert [verb for verb, _ in stand_in.asked] == ["create", "create", "delete", "create"]


def test_an_adapter_of_another_version_is_refused(
    components: Components, stand_in: StandIn, hosted: HostedModel, adapter: ModelVersion
) -> None:
    components.serve(hosted, NEXT)
    stand_in.settle()
    with pytest.raises(Conflict, match=r"tuned from qwen@0, and qwen@2 is what runs"):
        components.attach(hosted, adapter)
    with pytest.raises(InvalidModel, match="no adapter_config"):
        components.attach(
            hosted, msgspec.structs.replace(adapter, source=f"{adapter.source}/x", parent="qwen@2")
        )


def test_an_adapter_of_the_catalogue_s_earlier_source_is_refused(
    components: Components, stand_in: StandIn, hosted: HostedModel, adapter: ModelVersion
) -> None:
    """qwen@0 is whatever the catalogue names, which has changed since the adapter was tuned."""
    components.ensure(msgspec.structs.replace(hosted, source="hf://org/other@abc"))
    stand_in.settle()
    pinned = msgspec.structs.replace(adapter, parent_source=hosted.source)
    with pytest.raises(Conflict, match="tuned from qwen@0 when that was hf://org/qwen@main"):
        components.attach(hosted, pinned)
    assert components.attach(hosted, msgspec.structs.replace(pinned, parent_source="hf://org/other@abc"))


def test_all_is_removed_adapters_first(
    aws: Account,
    components: Components,
    stand_in: StandIn,
    stage: str,
    hosted: HostedModel,
    adapter: ModelVersion,
) -> None:
    components.ensure(hosted)
    stand_in.settle()
    components.settled(hosted)
    components.attach(hosted, adapter)
    stand_in.settle()
    for _ in range(2):
        assert not components.remove(hosted)
        assert not components.remove(hosted)
        stand_in.settle()
    assert components.remove(hosted)
    deleted = [asked["InferenceComponentName"] for verb, asked in stand_in.asked if verb == "delete"]
    assert deleted == [names.component(stage, name) for name in (adapter.name, "qwen")]
    assert (stand_in.targets, stand_in.policies) == ({}, {})
    left = aws.client("sagemaker").list_models()["Models"]
    assert [m for m in left if m["ModelName"].endswith(names.served_ending(stage, "qwen"))] == []


def test_an_asynchronous_endpoint_has_no_components(components: Components, hosted: HostedModel) -> None:
    with pytest.raises(RequestError, match="no components to move"):
        components.serve(msgspec.structs.replace(hosted, asynchronous=True), NEXT)


def test_versions_are_packages_with_their_approval(
    aws: Account, stand_in: StandIn, stage: str, hosted: HostedModel
) -> None:
    over = RecordedModels(MemoryRecords(), [ModelVersion("qwen", hosted.source)])
    registry, client = MirroredModels(stage, over, {"qwen": hosted}), aws.client("sagemaker")
    registry.register(ModelVersion("qwen", "s3://bucket/models/1", job="j", data="d", parent="qwen@0"))
    over.register(ModelVersion("qwen", "s3://bucket/models/2"))  # its package failed to be made
    registry.register(ModelVersion("qwen", "s3://bucket/models/2"))
    registry.register(ModelVersion("elsewhere", "s3://bucket/models/3"))

    def packages() -> dict[str, Any]:
        group = names.model_package_group(stage, "qwen")
        found = client.list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
        told = [client.describe_model_package(ModelPackageName=one["ModelPackageArn"]) for one in found]
        return {one["CustomerMetadataProperties"][VERSION]: one for one in told}

    assert {v: p["ModelApprovalStatus"] for v, p in packages().items()} == dict.fromkeys(
        ("1", "2"), "PendingManualApproval"
    )
    about = packages()["1"]["CustomerMetadataProperties"]
    assert {about[key] for key in ("job", "data", "parent")} == {"j", "d", "qwen@0"}
    registry.promote("qwen", 1)
    assert packages()["1"]["ModelApprovalStatus"] == "Approved"
    assert packages()["2"]["ModelApprovalStatus"] == "PendingManualApproval"
    assert registry.rollback("qwen").version == 0
    registry.delete("qwen", 2)
    assert len(stand_in.deleted_packages) == 1


def test_what_an_archive_holds_is_what_a_model_s_files_are() -> None:
    assert (*WEIGHTS, *TEXTS) == archives.LOADED
