"""Endpoints: what they cost at rest, what runs on them, and every trap that SageMaker sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack import names
from genai_stack.hosted import HostedModel
from tests.cdk.templates import Template, of_type, one, text

MODELS = ("chat", "big", "film")
PLACED = ("chat", "big")
REGISTRY = "<Registries>.dkr.ecr.<AWS::Region>.<AWS::URLSuffix>/vllm"
VPC = {
    "SecurityGroupIds": ["<Models.GroupId>"],
    "Subnets": ["<NetworkVpcPrivateSubnet1Subnet>", "<NetworkVpcPrivateSubnet2Subnet>"],
}
VARIANT = {
    "VariantName": "AllTraffic",
    "InitialInstanceCount": 1,
    "InferenceAmiVersion": "al2023-ami-sagemaker-inference-gpu-4-1",
}
PLACING = {"RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"}}


def timeouts(seconds: int) -> dict[str, int]:
    return {
        "ContainerStartupHealthCheckTimeoutInSeconds": seconds,
        "ModelDataDownloadTimeoutInSeconds": seconds,
    }


def scaling(least: int, most: int) -> dict[str, Any]:
    return {
        "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": least, "MaxInstanceCount": most}
    }


CONFIGS: dict[str, dict[str, Any]] = {
    # From the hub: the container fetches the weights, outside the network, which reaches no hub.
    "chat": {
        "ExecutionRoleArn": "<chat31e06f7d89Role.Arn>",
        "EnableNetworkIsolation": False,
        "MetricsConfig": {"EnableDetailedObservability": True},
        "ProductionVariants": [
            {"InstanceType": "ml.g6e.xlarge", **VARIANT, **timeouts(980), **scaling(0, 3), **PLACING}
        ],
    },
    # From S3: the container has no network.
    "big": {
        "ExecutionRoleArn": "<big2a21fe6d59Role.Arn>",
        "EnableNetworkIsolation": True,
        "VpcConfig": VPC,
        "MetricsConfig": {"EnableDetailedObservability": True},
        "ProductionVariants": [
            {
                "InstancePools": [
                    {"InstanceType": "ml.g6e.12xlarge", "Priority": 1},
                    {"InstanceType": "ml.g7e.12xlarge", "Priority": 2},
                ],
                **VARIANT,
                **timeouts(1540),
                **scaling(1, 5),
                **PLACING,
            }
        ],
    },
    # Answers through S3: a model in the variant, and no component.
    "film": {
        "AsyncInferenceConfig": {
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
            "OutputConfig": {
                "KmsKeyId": "<StorageKey.Arn>",
                "S3OutputPath": f"s3://<StorageArtefacts>/{names.answers('film')}",
                "S3FailurePath": f"s3://<StorageArtefacts>/{names.answers('film')}/failed",
                "NotificationConfig": {
                    "SuccessTopic": "<filmd0607f7ad2LongWorkTold>",
                    "ErrorTopic": "<filmd0607f7ad2LongWorkTold>",
                },
            },
        },
        "MetricsConfig": {"EnableDetailedObservability": True},
        "ProductionVariants": [
            {
                "InstanceType": "ml.g6e.2xlarge",
                "ModelName": "<filmd0607f7ad2LongWorkModel.ModelName>",
                "InitialVariantWeight": 1,
                **VARIANT,
                **timeouts(1044),
            }
        ],
    },
}


def spelled(value: Any) -> Any:
    """A value with every reference in it spelled out."""
    if isinstance(value, dict):
        if len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::")):
            return text(value)
        return {key: spelled(item) for key, item in value.items()}
    return [spelled(item) for item in value] if isinstance(value, list) else value


def published(template: Template, model: str) -> HostedModel:
    (value,) = (
        p["Value"]
        for p in of_type(template, "SSM::Parameter").values()
        if p["Name"].endswith(f"/{names.hosted(model)}")
    )
    return msgspec.json.decode(text(value), type=HostedModel)


@pytest.mark.parametrize("model", MODELS)
def test_an_endpoint_s_configuration_is_this_and_no_more(template: Template, model: str) -> None:
    """All its machines have disks of their own, where SageMaker refuses a key; a count of 0 is refused at creation."""
    config = spelled(one(template, "SageMaker::EndpointConfig", model))
    assert config == CONFIGS[model]
    assert "KmsKeyId" not in config
    (variant,) = config["ProductionVariants"]
    assert variant["InitialInstanceCount"] >= 1
    assert "VolumeSizeInGB" not in variant


@pytest.mark.parametrize("model", MODELS)
def test_an_endpoint_goes_over_machine_by_machine_and_back_by_an_alarm(template: Template, model: str) -> None:
    endpoint = spelled(one(template, "SageMaker::Endpoint", model))
    label = names.endpoint("dev", model)
    assert endpoint == {
        "EndpointName": label,
        "EndpointConfigName": f"<{names.hosted(model).rpartition('/')[2].replace('-', '')}Config.EndpointConfigName>",
        "DeploymentConfig": {
            "RollingUpdatePolicy": {
                "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
                "RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 100},
                "WaitIntervalInSeconds": 300,
                "MaximumExecutionTimeoutInSeconds": 28800,
            },
            "AutoRollbackConfiguration": {
                "Alarms": [{"AlarmName": f"<AlarmsErrors{label.rpartition('-')[2]}>"}]
            },
        },
    }
    (resource,) = (
        r
        for id, r in template["Resources"].items()
        if r["Type"] == "AWS::SageMaker::Endpoint" and id.startswith(model)
    )
    assert any("RoleDefaultPolicy" in id for id in resource["DependsOn"])  # without its rights it would fail


def test_no_component_is_declared_so_none_is_reverted(hosting_assembly: Path, template: Template) -> None:
    """What CloudFormation doesn't hold, a later deploy doesn't touch: components come and go by promotion."""
    for path in hosting_assembly.glob("*.template.json"):
        assert "AWS::SageMaker::InferenceComponent" not in path.read_text()
    sagemaker = {r["Type"] for r in template["Resources"].values() if "SageMaker" in r["Type"]}
    assert sagemaker == {
        "AWS::SageMaker::Endpoint",
        "AWS::SageMaker::EndpointConfig",
        "AWS::SageMaker::ModelPackageGroup",
        "AWS::SageMaker::Model",
    }
    (model,) = (id for id in of_type(template, "SageMaker::Model"))
    assert model.startswith("film")
    targets = of_type(template, "ApplicationAutoScaling::ScalableTarget")
    assert all("inference-component" not in text(t["ResourceId"]) for t in targets.values())


@pytest.mark.parametrize("model", PLACED)
def test_the_first_component_is_asked_for(template: Template, model: str) -> None:
    (asked,) = (
        r
        for id, r in template["Resources"].items()
        if r["Type"] == "Custom::InferenceComponents" and id.startswith(model)
    )
    assert spelled(asked["Properties"]) == {
        "ServiceToken": "<PlacingComponentsFunction.Arn>",
        "ServiceTimeout": "3600",
        "Hosted": text(one(template, "SSM::Parameter", model)["Value"]),
    }
    waits = "".join(asked["DependsOn"])
    assert "Endpoint" in waits
    assert "PlacingAgain" in waits
    assert "PlacingComponentsRoleDefaultPolicy" in waits


def test_what_answers_through_s3_has_no_component(template: Template) -> None:
    """InvokeEndpointAsync names none."""
    import botocore.session

    service = botocore.session.get_session().get_service_model("sagemaker-runtime")
    assert "InferenceComponentName" in service.shape_for("InvokeEndpointInput").members
    assert "InferenceComponentName" not in service.shape_for("InvokeEndpointAsyncInput").members
    asked = [id for id, r in template["Resources"].items() if r["Type"] == "Custom::InferenceComponents"]
    assert len(asked) == len(PLACED)


def test_a_model_is_published_as_whoever_asks_it_reads_it(template: Template) -> None:
    assert published(template, "chat") == HostedModel(
        name="chat",
        task="chat",
        source="hf://Qwen/Qwen3-4B@main",
        endpoint=names.endpoint("dev", "chat"),
        role="<chat31e06f7d89Role.Arn>",
        image=f"{REGISTRY}:server-sagemaker-cuda-v2.5",
        environment={
            "SM_VLLM_SERVED_MODEL_NAME": "chat",
            "SM_VLLM_TENSOR_PARALLEL_SIZE": "1",
            "SM_VLLM_MODEL": "Qwen/Qwen3-4B",
            "SM_VLLM_REVISION": "main",
            "SM_VLLM_MAX_MODEL_LEN": "32768",
            "SM_VLLM_ENABLE_LORA": "true",
            "SM_VLLM_MAX_LORAS": "4",
            "SM_VLLM_MAX_CPU_LORAS": "4",
            "SM_VLLM_MAX_LORA_RANK": "64",
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        },
        cpus=3,
        memory_mb=26214,
        accelerators=1,
        min_copies=0,
        max_copies=2,
        requests_per_copy=32,
        startup_seconds=980,
        adapters=4,
        alarms=("<AlarmsErrors242bf84f95>",),
    )
    film = published(template, "film")
    assert film.asynchronous
    assert film.image == f"{REGISTRY}:omni-sagemaker-cuda-v1.5"
    assert (published(template, "big").accelerators, published(template, "big").min_copies) == (2, 1)
    for parameter in of_type(template, "SSM::Parameter").values():
        assert set(parameter) == {"Type", "Name", "Value"}
        assert parameter["Type"] == "String"
        assert len(text(parameter["Value"])) < 4096


@pytest.mark.parametrize("model", MODELS)
def test_versions_have_a_group(template: Template, model: str) -> None:
    group = one(template, "SageMaker::ModelPackageGroup", model)
    assert group == {
        "ModelPackageGroupName": names.model_package_group("dev", model),
        "ModelPackageGroupDescription": f"genai-stack dev: versions of {model}",
    }


def test_work_that_outlasts_a_request_is_scaled_by_what_waits(template: Template) -> None:
    endpoint = names.endpoint("dev", "film")
    where = [{"Name": "EndpointName", "Value": endpoint}]
    assert one(template, "ApplicationAutoScaling::ScalableTarget") == {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "MinCapacity": 0,
        "MaxCapacity": 3,
    }
    target = {"ScalingTargetId": "<filmd0607f7ad2LongWorkMachines>"}
    backlog = one(template, "ApplicationAutoScaling::ScalingPolicy", "filmd0607f7ad2LongWorkByBacklog")
    assert spelled(backlog) == {
        "PolicyName": f"{endpoint}-backlog",
        "PolicyType": "TargetTrackingScaling",
        **target,
        "TargetTrackingScalingPolicyConfiguration": {
            "CustomizedMetricSpecification": {
                "Namespace": "AWS/SageMaker",
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Statistic": "Average",
                "Dimensions": where,
            },
            "TargetValue": 2,
            "ScaleOutCooldown": 60,
            "ScaleInCooldown": 300,
        },
    }
    step = one(template, "ApplicationAutoScaling::ScalingPolicy", "filmd0607f7ad2LongWorkFromZero")
    assert spelled(step) == {
        "PolicyName": f"{endpoint}-from-zero",
        "PolicyType": "StepScaling",
        **target,
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": 300,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    }
    alarm = spelled(one(template, "CloudWatch::Alarm", "filmd0607f7ad2LongWorkWaiting"))
    alarm.pop("AlarmDescription", None)
    assert alarm == {
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": where,
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": ["<filmd0607f7ad2LongWorkFromZero>"],
    }


def test_its_model_stands_in_the_template(template: Template) -> None:
    assert spelled(one(template, "SageMaker::Model")) == {
        "ExecutionRoleArn": "<filmd0607f7ad2Role.Arn>",
        "EnableNetworkIsolation": False,
        "PrimaryContainer": {
            "Image": f"{REGISTRY}:omni-sagemaker-cuda-v1.5",
            "Environment": {
                "SM_VLLM_SERVED_MODEL_NAME": "film",
                "VLLM_OMNI_VIDEO_SYNC_TIMEOUT": "3600",
                "SM_VLLM_TENSOR_PARALLEL_SIZE": "1",
                "SM_VLLM_MODEL": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
            },
        },
    }


def test_nothing_reaches_a_model_from_the_network(template: Template) -> None:
    (group,) = of_type(template, "EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group
    (out,) = group["SecurityGroupEgress"]
    assert (out["CidrIp"], out["IpProtocol"]) == ("0.0.0.0/0", "-1")
    assert text(group["VpcId"]) == "<NetworkVpc>"


def test_another_stage_stands_behind_its_gateways_and_runs_its_own_image(reserved: Template) -> None:
    config = spelled(one(reserved, "SageMaker::EndpointConfig", "chat"))
    assert config["VpcConfig"]["Subnets"] == [f"<NetworkVpcPrivateSubnet{n}Subnet>" for n in (1, 2, 3)]
    assert config["EnableNetworkIsolation"] is False  # it fetches its weights through a gateway
    (variant,) = config["ProductionVariants"]
    assert variant["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"
    assert variant["ManagedInstanceScaling"]["MinInstanceCount"] == 1
    hosted = published(reserved, "chat")
    assert hosted.image == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1-cu129"
    assert hosted.endpoint == names.endpoint("prod", "chat")
    film = spelled(one(reserved, "SageMaker::Model"))
    assert film["EnableNetworkIsolation"] is True
    assert film["VpcConfig"] == config["VpcConfig"]
    assert film["PrimaryContainer"]["ModelDataSource"] == {
        "S3DataSource": {"S3Uri": "s3://weights/film/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    }
    assert len(of_type(reserved, "ApplicationAutoScaling::ScalingPolicy")) == 1  # it never is at zero
    assert "genai-stack-dev" not in json.dumps(reserved)


def test_no_model_comes_or_goes_with_an_export_of_the_training_stack(
    assembly: Path, hosting_assembly: Path
) -> None:
    """One that went while it was still imported would stop the deployment."""
    training = "GenaiStack-Training.template.json"
    before, after = (json.loads((where / training).read_text()) for where in (assembly, hosting_assembly))
    assert before == after


def test_no_hosted_model_no_stack(assembly: Path) -> None:
    assert not list(assembly.glob("GenaiStack-Hosting*"))
