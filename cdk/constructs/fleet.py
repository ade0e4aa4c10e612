"""Machines and the queue in front of them. A fleet at rest has no machine.

These are L1 constructs on purpose. The L2 compute environment always emits security groups, which may not stand
beside a launch template's network interfaces, and drops the launch template's version.
"""

from __future__ import annotations

from typing import Any

from aws_cdk import aws_batch as batch
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from genai_stack import names
from genai_stack.config import TrainingConfig
from genai_stack.machines import MACHINES, Machine

from .network import Network
from .roles import JobRoles
from .user_data import user_data

ROOT_DISK = "/dev/xvda"
STUCK = (
    "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
)
"""Why a job can be stuck at the head of its queue, as Batch names it."""


class Fleet(Construct):
    """A launch template, a compute environment from zero to a finite number of vCPUs, and one queue."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        stage: str,
        config: TrainingConfig,
        roles: JobRoles,
        template: dict[str, Any],
        resources: dict[str, Any],
    ) -> None:
        super().__init__(scope, id)
        self.name = name
        launch = ec2.CfnLaunchTemplate(
            self, "Template", launch_template_data=_machine(stage, name, config) | template
        )
        tags = {names.STAGE_TAG: stage, "genai-stack:fleet": name}
        self.environment = batch.CfnComputeEnvironment(
            self,
            "Environment",
            type="MANAGED",
            state="ENABLED",
            replace_compute_environment=False,
            update_policy={"terminateJobsOnUpdate": False, "jobExecutionTimeoutMinutes": 30},
            compute_resources={
                "minvCpus": 0,
                "instanceRole": roles.profile.attr_arn,
                "ec2Configuration": [{"imageType": "ECS_AL2023_NVIDIA"}],
                "updateToLatestImageVersion": True,
                "launchTemplate": {
                    "launchTemplateId": launch.ref,
                    "version": launch.attr_latest_version_number,
                },
                "tags": tags,
                **resources,
            },
        )
        # Torn down in this order, the environment can still end its machines.
        self.environment.node.add_dependency(roles.instance)
        self.queue = batch.CfnJobQueue(
            self,
            "Queue",
            priority=1,
            state="ENABLED",
            compute_environment_order=[
                {"order": 1, "computeEnvironment": self.environment.attr_compute_environment_arn}
            ],
            job_state_time_limit_actions=[
                {
                    "state": "RUNNABLE",
                    "reason": reason,
                    "maxTimeSeconds": config.capacity_wait_minutes * 60,
                    "action": "CANCEL",
                }
                for reason in STUCK
            ],
        )


def spot_fleet(
    scope: Construct, id: str, stage: str, config: TrainingConfig, network: Network, roles: JobRoles
) -> Fleet:
    """Machines for jobs of one node, on spot capacity. Spot can't run multi-node jobs."""
    return Fleet(
        scope,
        id,
        name="spot",
        stage=stage,
        config=config,
        roles=roles,
        template={},
        resources={
            "type": "SPOT",
            "allocationStrategy": "SPOT_PRICE_CAPACITY_OPTIMIZED",
            "bidPercentage": config.spot.bid_percent,
            "instanceTypes": list(config.spot.instances),
            "maxvCpus": config.spot.max_vcpus,
            "subnets": [subnet.subnet_id for subnet in network.subnets],
            "securityGroupIds": [network.machines.security_group_id],
        },
    )


def multi_node_fleet(
    scope: Construct, id: str, stage: str, config: TrainingConfig, network: Network, roles: JobRoles
) -> Fleet:
    """Machines for jobs of several nodes, on demand, close together in one zone, on elastic fabric adapters."""
    many = config.multi_node
    template: dict[str, Any] = {"networkInterfaces": interfaces(MACHINES[many.instance], network.nodes)}
    if many.capacity_reservation:
        target = {"capacityReservationId": many.capacity_reservation}
        template["capacityReservationSpecification"] = {"capacityReservationTarget": target}
    if many.capacity_block:
        template["instanceMarketOptions"] = {"marketType": "capacity-block"}
    group = ec2.CfnPlacementGroup(scope, "Placement", strategy="cluster")
    return Fleet(
        scope,
        id,
        name="multi-node",
        stage=stage,
        config=config,
        roles=roles,
        template=template,
        resources={
            "type": "EC2",
            "allocationStrategy": "BEST_FIT_PROGRESSIVE",
            "instanceTypes": [many.instance],
            "maxvCpus": many.max_vcpus,
            "placementGroup": group.ref,
            "subnets": [network.subnets[many.zone - 1].subnet_id],
        },
    )


def interfaces(machine: Machine, group: str) -> list[dict[str, Any]]:
    """The network interfaces of a node: one with an address, on card 0, and on every further card an adapter alone.

    Adapters without an address leave the machine a single one, so that it still gets a public address where its subnet
    gives one, and leave the second place on card 0 to the interface that ECS adds for the job. (EC2 User Guide,
    "Maximize network bandwidth on instances with multiple network cards")
    """
    first = "efa" if machine.efas == machine.cards else "interface"
    cards = [{"networkCardIndex": 0, "deviceIndex": 0, "interfaceType": first}]
    cards += [
        {"networkCardIndex": card, "deviceIndex": 1, "interfaceType": "efa-only"}
        for card in range(1, machine.cards)
    ]
    return [{**card, "groups": [group], "deleteOnTermination": True} for card in cards]


def _machine(stage: str, name: str, config: TrainingConfig) -> dict[str, Any]:
    tags = [
        {"key": names.STAGE_TAG, "value": stage},
        {"key": "Name", "value": f"genai-stack-{stage}-{name}"},
    ]
    return {
        "userData": user_data(stage, name),
        "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1, "httpEndpoint": "enabled"},
        "blockDeviceMappings": [
            {
                "deviceName": ROOT_DISK,
                # Under EBS's own key: EC2's launching roles may not use another without a grant.
                "ebs": {
                    "volumeType": "gp3",
                    "volumeSize": config.disk_gb,
                    "iops": 6000,
                    "throughput": 500,
                    "encrypted": True,
                    "deleteOnTermination": True,
                },
            }
        ],
        "tagSpecifications": [{"resourceType": kind, "tags": tags} for kind in ("instance", "volume")],
    }
