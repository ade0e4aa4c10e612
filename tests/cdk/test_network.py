"""The network: nothing comes in, and what goes out costs nothing while no job runs."""

from __future__ import annotations

from pathlib import Path

from genai_stack.config import parse_config
from tests.cdk.conftest import read_template
from tests.cdk.templates import Template, of_type, one, text

HOURLY = ("EC2::NatGateway", "EC2::EIP", "EC2::Instance", "EC2::TransitGateway", "EC2::ClientVpnEndpoint")


def test_an_idle_network_has_nothing_that_is_billed_by_the_hour(template: Template) -> None:
    for type in HOURLY:
        assert not of_type(template, type), type
    kinds = [endpoint["VpcEndpointType"] for endpoint in of_type(template, "EC2::VPCEndpoint").values()]
    assert kinds == ["Gateway", "Gateway"]


def test_s3_and_dynamodb_are_reached_without_leaving_aws_from_every_subnet(template: Template) -> None:
    tables = {f"<{id}>" for id in of_type(template, "EC2::RouteTable")}
    assert len(tables) == 4
    services = set()
    for endpoint in of_type(template, "EC2::VPCEndpoint").values():
        assert {f"<{table['Ref']}>" for table in endpoint["RouteTableIds"]} == tables
        assert text(endpoint["VpcId"]) == "<NetworkVpc>"
        services.add(text(endpoint["ServiceName"]))
    assert services == {"com.amazonaws.<AWS::Region>.s3", "com.amazonaws.<AWS::Region>.dynamodb"}


def test_there_is_a_public_and_a_private_subnet_in_each_zone(template: Template) -> None:
    subnets = of_type(template, "EC2::Subnet")
    seen = {
        (id[len("NetworkVpc") : -len("Subnet1Subnet12345678")], subnet["AvailabilityZone"]["Fn::Select"][0])
        for id, subnet in subnets.items()
    }
    assert seen == {("Public", 0), ("Public", 1), ("Private", 0), ("Private", 1)}
    for id, subnet in subnets.items():
        assert subnet["MapPublicIpOnLaunch"] is ("Public" in id)
        assert text(subnet["VpcId"]) == "<NetworkVpc>"
    blocks = sorted(subnet["CidrBlock"] for subnet in subnets.values())
    assert blocks == ["10.20.0.0/22", "10.20.12.0/22", "10.20.4.0/22", "10.20.8.0/22"]
    for table in of_type(template, "EC2::RouteTable").values():
        assert text(table["VpcId"]) == "<NetworkVpc>"
    vpc = one(template, "EC2::VPC")
    assert vpc["InstanceTenancy"] == "default"  # dedicated machines cost more
    assert (vpc["CidrBlock"], vpc["EnableDnsHostnames"], vpc["EnableDnsSupport"]) == (
        "10.20.0.0/16",
        True,
        True,
    )


def test_only_public_subnets_lead_out(template: Template) -> None:
    assert len(of_type(template, "EC2::InternetGateway")) == 1
    routes = of_type(template, "EC2::Route")
    assert {text(r["RouteTableId"]) for r in routes.values()} == {
        "<NetworkVpcPublicSubnet1RouteTable>",
        "<NetworkVpcPublicSubnet2RouteTable>",
    }
    for route in routes.values():
        assert route["DestinationCidrBlock"] == "0.0.0.0/0"
        assert text(route["GatewayId"]) == "<NetworkVpcIGW>"


def test_nothing_comes_in(template: Template, reserved: Template) -> None:
    for stack in (template, reserved):
        assert not of_type(stack, "EC2::SecurityGroupIngress")
    group = one(template, "EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    (out,) = group["SecurityGroupEgress"]
    assert (out["CidrIp"], out["IpProtocol"]) == ("0.0.0.0/0", "-1")
    assert text(group["VpcId"]) == "<NetworkVpc>"


def test_nodes_reach_each_other_through_the_group_batch_gives_them(template: Template) -> None:
    """The VPC's default group, as it is made: members reach members. CDK can strip it of that, by a custom resource."""
    assert not [r for r in template["Resources"].values() if r["Type"].startswith("Custom::")]
    rule = one(template, "EC2::SecurityGroupEgress")
    group = "<NetworkVpc.DefaultSecurityGroup>"
    assert (text(rule["GroupId"]), text(rule["DestinationSecurityGroupId"])) == (group, group)
    assert rule["IpProtocol"] == "-1"
    assert "FromPort" not in rule


def test_what_the_network_refuses_is_logged(template: Template) -> None:
    flow = one(template, "EC2::FlowLog")
    assert (flow["ResourceType"], text(flow["ResourceId"])) == ("VPC", "<NetworkVpc>")
    assert (flow["LogDestinationType"], flow["TrafficType"]) == ("s3", "REJECT")
    assert text(flow["LogDestination"]) == "<StorageLogs.Arn>/network"


def test_nat_puts_machines_into_private_subnets(reserved: Template) -> None:
    assert len(of_type(reserved, "EC2::NatGateway")) == 2
    spot = one(reserved, "Batch::ComputeEnvironment", "Spot")["ComputeResources"]
    assert [text(s) for s in spot["Subnets"]] == [f"<NetworkVpcPrivateSubnet{n}Subnet>" for n in (1, 2, 3)]
    asked = [e for e in of_type(reserved, "EC2::VPCEndpoint").values() if e["VpcEndpointType"] == "Interface"]
    assert [text(e["ServiceName"]) for e in asked] == ["com.amazonaws.<AWS::Region>.sts"]


def test_endpoints_leave_no_way_to_the_internet(tmp_path: Path) -> None:
    from cdk.app import new_app
    from cdk.training_stack import TrainingStack

    app = new_app(str(tmp_path / "out"))
    config = parse_config("[training.network]\negress = 'endpoints'\n")
    (tmp_path / "staging").mkdir()
    TrainingStack(app, "dev", config.training, tmp_path / "staging")
    app.synth()
    stack = read_template(tmp_path / "out")
    for type in ("EC2::InternetGateway", "EC2::NatGateway", "EC2::Route"):
        assert not of_type(stack, type), type
    endpoints = [e for e in of_type(stack, "EC2::VPCEndpoint").values() if e["VpcEndpointType"] == "Interface"]
    services = {text(e["ServiceName"]).rpartition("Region>.")[2] for e in endpoints}
    assert services == {"ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs", "monitoring"}
    assert all(e["PrivateDnsEnabled"] for e in endpoints)
    assert not any(s["MapPublicIpOnLaunch"] for s in of_type(stack, "EC2::Subnet").values())
