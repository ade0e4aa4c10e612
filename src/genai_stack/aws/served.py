"""What an inference component serves: a SageMaker model made from a version and the machine share of its HostedModel.

A SageMaker model can't be changed, so it is named after the version and all that it is made from: the name tells which
version a component serves, and what is made once is found again.
"""

from __future__ import annotations

from typing import Any

from genai_stack import names
from genai_stack.hosted import HostedModel
from genai_stack.ports import ModelVersion

WEIGHTS = "/opt/ml/model"
"""Where SageMaker puts a model's files in its container (SageMaker, "Custom inference code with hosting services")."""
REPOSITORY = ("SM_VLLM_MODEL", "HF_MODEL_ID", "MODEL_ID")
"""Variables by which AWS's vLLM container and the hub's text-embeddings container learn what to load: the first wins
where a HostedModel's environment has none of them."""
REVISION = {"SM_VLLM_MODEL": "SM_VLLM_REVISION", "HF_MODEL_ID": "HF_MODEL_REVISION", "MODEL_ID": "REVISION"}
HUB = "hf://"


def request(stage: str, hosted: HostedModel, version: ModelVersion) -> dict[str, Any]:
    """CreateModel's parameters. Weights from S3 come uncompressed, into a container without a network."""
    environment = _environment(hosted, version.source)
    container: dict[str, Any] = {"Image": hosted.image, "Environment": environment}
    stored = not version.source.startswith(HUB)
    if stored:
        data = {
            "S3Uri": version.source.rstrip("/") + "/",
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
        }
        container["ModelDataSource"] = {"S3DataSource": data}
    rest = (hosted.image, hosted.role, *(f"{key}={value}" for key, value in sorted(environment.items())))
    return {
        "ModelName": names.served_model(stage, version.name, version.version, version.source, *rest),
        "ExecutionRoleArn": hosted.role,
        "PrimaryContainer": container,
        "EnableNetworkIsolation": stored,
    }


def specification(hosted: HostedModel, model_name: str) -> dict[str, Any]:
    """The Specification of a base's component. A copy gets its share of the machine and no more."""
    share: dict[str, Any] = {
        "NumberOfCpuCoresRequired": hosted.cpus,
        "MinMemoryRequiredInMb": hosted.memory_mb,
    }
    if hosted.accelerators:
        share["NumberOfAcceleratorDevicesRequired"] = hosted.accelerators
    patience = min(max(hosted.startup_seconds, 60), 3600)
    return {
        "ModelName": model_name,
        "StartupParameters": {
            "ModelDataDownloadTimeoutInSeconds": patience,
            "ContainerStartupHealthCheckTimeoutInSeconds": patience,
        },
        "ComputeResourceRequirements": share,
    }


def _environment(hosted: HostedModel, source: str) -> dict[str, str]:
    """The catalogue's environment, with whatever says what to load saying `source`."""
    variable = next((name for name in REPOSITORY if name in hosted.environment), REPOSITORY[0])
    repository, _, revision = source.removeprefix(HUB).partition("@")
    told = {k: v for k, v in hosted.environment.items() if k != REVISION[variable]}
    told[variable] = repository if source.startswith(HUB) else WEIGHTS
    if source.startswith(HUB) and revision:
        told[REVISION[variable]] = revision
    return told
