"""Machines and queues: what they cost at rest, and every trap that Batch sets."""

from __future__ import annotations

import json
from email import message_from_string

import pytest

from tests.cdk.templates import Template, of_type, one, plain, text

SPOT, MANY = "Spot", "MultiNode"
FLEETS = {SPOT: "spot", MANY: "multi-node"}


def test_fleets_start_from_nothing_and_have_an_end(template: Template) -> None:
    environments = of_type(template, "Batch::ComputeEnvironment")
    assert len(environments) == 2
    for environment in environments.values():
        assert (environment["Type"], environment["State"]) == ("MANAGED", "ENABLED")
        assert environment["ComputeResources"]["MinvCpus"] == 0
        assert "DesiredvCpus" not in environment["ComputeResources"]
    assert one(template, "Batch::ComputeEnvironment", SPOT)["ComputeResources"]["MaxvCpus"] == 64
    assert one(template, "Batch::ComputeEnvironment", MANY)["ComputeResources"]["MaxvCpus"] == 192


def test_jobs_of_one_node_run_on_spot(template: Template) -> None:
    spot = one(template, "Batch::ComputeEnvironment", SPOT)["ComputeResources"]
    assert (spot["Type"], spot["AllocationStrategy"]) == ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED")
    assert spot["BidPercentage"] == 100
    assert spot["InstanceTypes"] == ["g6e.2xlarge", "g6e.4xlarge", "g6e.8xlarge"]
    assert [text(s) for s in spot["Subnets"]] == [
        "<NetworkVpcPublicSubnet1Subnet>",
        "<NetworkVpcPublicSubnet2Subnet>",
    ]


def test_multi_node_jobs_never_run_on_spot(template: Template) -> None:
    many = one(template, "Batch::ComputeEnvironment", MANY)["ComputeResources"]
    assert (many["Type"], many["AllocationStrategy"]) == ("EC2", "BEST_FIT_PROGRESSIVE")
    assert "BidPercentage" not in many
    assert many["InstanceTypes"] == ["g6e.12xlarge"]


def test_nodes_stand_close_together_in_one_zone(template: Template) -> None:
    many = one(template, "Batch::ComputeEnvironment", MANY)["ComputeResources"]
    assert text(many["PlacementGroup"]) == "<Placement>"
    assert one(template, "EC2::PlacementGroup") == {"Strategy": "cluster"}
    assert [text(s) for s in many["Subnets"]] == ["<NetworkVpcPublicSubnet1Subnet>"]


def test_security_groups_stand_on_the_interfaces_or_on_the_environment(template: Template) -> None:
    """EC2 refuses instance-level groups beside network interfaces, and the L2 always emits them."""
    many = one(template, "Batch::ComputeEnvironment", MANY)["ComputeResources"]
    assert "SecurityGroupIds" not in many
    (interface,) = one(template, "EC2::LaunchTemplate", MANY)["LaunchTemplateData"]["NetworkInterfaces"]
    assert [text(g) for g in interface["Groups"]] == ["<NetworkVpc.DefaultSecurityGroup>"]
    spot = one(template, "Batch::ComputeEnvironment", SPOT)["ComputeResources"]
    assert [text(g) for g in spot["SecurityGroupIds"]] == ["<NetworkMachines.GroupId>"]
    assert "NetworkInterfaces" not in one(template, "EC2::LaunchTemplate", SPOT)["LaunchTemplateData"]


@pytest.mark.parametrize("fleet", FLEETS)
def test_a_changed_launch_template_reaches_the_fleet(template: Template, fleet: str) -> None:
    """The L2 drops the version, and then an environment stays with the first one."""
    environment = one(template, "Batch::ComputeEnvironment", fleet)
    launch = environment["ComputeResources"]["LaunchTemplate"]
    assert text(launch["LaunchTemplateId"]) == f"<{fleet}Template>"
    assert text(launch["Version"]) == f"<{fleet}Template.LatestVersionNumber>"
    assert environment["ReplaceComputeEnvironment"] is False
    assert environment["UpdatePolicy"] == {"TerminateJobsOnUpdate": False, "JobExecutionTimeoutMinutes": 30}
    assert environment["ComputeResources"]["UpdateToLatestImageVersion"] is True


@pytest.mark.parametrize("fleet", FLEETS)
def test_machines_run_amazon_linux_2023_with_nvidia_s_driver(template: Template, fleet: str) -> None:
    resources = one(template, "Batch::ComputeEnvironment", fleet)["ComputeResources"]
    assert resources["Ec2Configuration"] == [{"ImageType": "ECS_AL2023_NVIDIA"}]
    assert text(resources["InstanceRole"]) == "<RolesInstanceProfile.Arn>"
    assert resources["Tags"] == {"genai-stack:stage": "dev", "genai-stack:fleet": FLEETS[fleet]}


@pytest.mark.parametrize("fleet", FLEETS)
def test_metadata_takes_a_token_and_one_hop(template: Template, fleet: str) -> None:
    data = one(template, "EC2::LaunchTemplate", fleet)["LaunchTemplateData"]
    want = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}
    assert data["MetadataOptions"] == want


@pytest.mark.parametrize("fleet", FLEETS)
def test_disks_are_gp3_encrypted_and_gone_with_the_machine(template: Template, fleet: str) -> None:
    (disk,) = one(template, "EC2::LaunchTemplate", fleet)["LaunchTemplateData"]["BlockDeviceMappings"]
    assert disk["DeviceName"] == "/dev/xvda"
    assert disk["Ebs"] == {
        "VolumeType": "gp3",
        "VolumeSize": 200,
        "Iops": 6000,
        "Throughput": 500,
        "Encrypted": True,
        "DeleteOnTermination": True,
    }


@pytest.mark.parametrize("fleet", FLEETS)
def test_machines_carry_their_stage(template: Template, fleet: str) -> None:
    tagged = one(template, "EC2::LaunchTemplate", fleet)["LaunchTemplateData"]["TagSpecifications"]
    assert [t["ResourceType"] for t in tagged] == ["instance", "volume"]
    for tags in (t["Tags"] for t in tagged):
        assert {t["Key"]: t["Value"] for t in tags} == {
            "genai-stack:stage": "dev",
            "Name": f"genai-stack-dev-{FLEETS[fleet]}",
        }


@pytest.mark.parametrize("fleet", FLEETS)
def test_user_data_is_mime_multipart_and_sets_up_the_agents(template: Template, fleet: str) -> None:
    """Batch merges its own user data in, and takes multipart alone."""
    encoded = one(template, "EC2::LaunchTemplate", fleet)["LaunchTemplateData"]["UserData"]
    assert set(encoded) == {"Fn::Base64"}
    document = message_from_string(encoded["Fn::Base64"])
    assert document.get_content_type() == "multipart/mixed"
    assert not document.defects
    (part,) = document.get_payload()
    assert part.get_content_type() == "text/x-shellscript"
    shell = part.get_payload()
    assert shell.startswith("#!/bin/bash\n")
    lines = shell.splitlines()
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in lines
    assert "ECS_CONTAINER_STOP_TIMEOUT=100s" in lines
    assert "ECS_AWSVPC_BLOCK_IMDS=true" in lines
    assert "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE=true" in lines
    agent = json.loads(next(line for line in lines if line.startswith("{")))
    assert agent["metrics"]["namespace"] == "genai-stack/dev"
    gpu = agent["metrics"]["metrics_collected"]["nvidia_gpu"]
    assert gpu["append_dimensions"] == {"fleet": FLEETS[fleet]}
    assert "utilization_gpu" in gpu["measurement"]
    assert agent["metrics"]["aggregation_dimensions"] == [["fleet"]]


@pytest.mark.parametrize("fleet", FLEETS)
def test_a_queue_cancels_what_can_never_start(template: Template, fleet: str) -> None:
    queue = one(template, "Batch::JobQueue", fleet)
    assert (queue["State"], queue["Priority"]) == ("ENABLED", 1)
    (order,) = queue["ComputeEnvironmentOrder"]
    assert order["Order"] == 1
    assert text(order["ComputeEnvironment"]) == f"<{fleet}Environment.ComputeEnvironmentArn>"
    limits = queue["JobStateTimeLimitActions"]
    assert {limit["Reason"] for limit in limits} == {
        "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY",
        "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
        "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
    }
    for limit in limits:
        assert (limit["State"], limit["Action"], limit["MaxTimeSeconds"]) == ("RUNNABLE", "CANCEL", 14400)


def test_one_adapter_is_enough_for_one_card(template: Template) -> None:
    (interface,) = one(template, "EC2::LaunchTemplate", MANY)["LaunchTemplateData"]["NetworkInterfaces"]
    assert interface["InterfaceType"] == "efa"
    assert (interface["NetworkCardIndex"], interface["DeviceIndex"]) == (0, 0)
    assert interface["DeleteOnTermination"] is True


def test_every_card_gets_an_adapter_and_card_0_keeps_a_place_for_ecs(reserved: Template) -> None:
    cards = one(reserved, "EC2::LaunchTemplate", MANY)["LaunchTemplateData"]["NetworkInterfaces"]
    assert [c["NetworkCardIndex"] for c in cards] == list(range(32))
    assert [c["InterfaceType"] for c in cards] == ["efa", *["efa-only"] * 31]
    assert [c["DeviceIndex"] for c in cards] == [0, *[1] * 31]
    assert not any("AssociatePublicIpAddress" in c for c in cards)
    assert {plain(text(g)) for c in cards for g in c["Groups"]} == {"<NetworkVpc.DefaultSecurityGroup>"}


def test_a_machine_whose_first_card_has_no_adapter_keeps_plain_ethernet_there() -> None:
    from cdk.constructs.fleet import interfaces
    from genai_stack.machines import MACHINES

    cards = interfaces(MACHINES["p6-b300.48xlarge"], "sg-1")
    assert [c["interfaceType"] for c in cards] == ["interface", *["efa-only"] * 16]


def test_a_capacity_block_is_asked_for_by_the_launch_template(reserved: Template, template: Template) -> None:
    data = one(reserved, "EC2::LaunchTemplate", MANY)["LaunchTemplateData"]
    target = {"CapacityReservationId": "cr-0123456789abcdef0"}
    assert data["CapacityReservationSpecification"] == {"CapacityReservationTarget": target}
    assert data["InstanceMarketOptions"] == {"MarketType": "capacity-block"}
    plain_data = one(template, "EC2::LaunchTemplate", MANY)["LaunchTemplateData"]
    assert not {"CapacityReservationSpecification", "InstanceMarketOptions"} & set(plain_data)
    many = one(reserved, "Batch::ComputeEnvironment", MANY)["ComputeResources"]
    assert [text(s) for s in many["Subnets"]] == ["<NetworkVpcPrivateSubnet3Subnet>"]
