"""SageMaker training jobs: nothing stands while none runs. What a client needs to start one, in one parameter."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
import msgspec
from aws_cdk import aws_s3_assets as assets

from genai_stack.config import TrainingConfig
from genai_stack.managed import ManagedTraining

from .images import Image
from .jobs import told
from .network import Network
from .roles import JobRoles

LONGEST = 28 * 86400
"""Seconds that SageMaker lets a training job take, waiting included."""


def managed_training(
    stack: cdk.Stack,
    stage: str,
    config: TrainingConfig,
    image: Image,
    program: assets.Asset,
    network: Network,
    roles: JobRoles,
) -> str:
    """A ManagedTraining as JSON. The command is that of a Batch job, kept running as SageMaker needs it. With
    `egress = "public"` its machines stand in SageMaker's own network, which reaches AWS and the internet: in a subnet
    of ours they would get no address. Else they stand where Batch's machines do."""
    script = (Path(__file__).parent / "boot.py").read_text()
    wait = config.capacity_wait_minutes * 60
    private = config.network.egress != "public"
    made = ManagedTraining(
        role=roles.managed.role_arn,
        image=image.uri,
        command=("python3", "-c", script, program.s3_object_url, "all,train", "genai_stack.training.keeper"),
        environment={
            "AWS_DEFAULT_REGION": cdk.Aws.REGION,
            "GENAI_STACK_HOME": "/tmp/genai-stack",
            "GENAI_STACK_STAGE": stage,
            "HF_HOME": "/tmp/huggingface",  # the disk that was asked for; the container's own is small
            "PYTHONUNBUFFERED": "1",
            **told(config),
        },
        instance=f"ml.{config.spot.instances[0]}",
        many_instance=f"ml.{config.multi_node.instance}",
        disk_gb=config.disk_gb,
        max_seconds=min(config.max_hours * 3600, LONGEST - wait),
        wait_seconds=wait,
        attempts=config.attempts,
        subnets=tuple(subnet.subnet_id for subnet in network.subnets) if private else (),
        group=network.machines.security_group_id if private else None,
        many_group=network.nodes if private else None,
    )
    return stack.to_json_string(msgspec.json.decode(msgspec.json.encode(made)))
