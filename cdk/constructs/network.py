"""The network the machines live in. Nothing reaches them; how they reach out is one setting."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_s3 as s3
from constructs import Construct

from genai_stack.config import NetworkConfig

ENDPOINTS = ("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs", "monitoring")
"""What a machine without internet needs of AWS: images, the ECS agent's calls, logs, GPU metrics. Image layers,
models and data come through the S3 gateway, which is free."""


class Network(Construct):
    """A VPC over two or three zones with S3 and DynamoDB gateways, and the subnets and groups that jobs run in.

    An idle bottom layer costs storage only, so the default has no NAT gateway and no interface endpoint: both are
    billed by the hour, in each zone, whether a job runs or not. With `egress = "public"` a machine stands in a public
    subnet and has a public address while it lives, and no longer; its security group admits nothing from outside.
    Images, the ECS agent, logs, metrics and the hub are reached over that address, S3 and DynamoDB by the gateways.

    Nodes of a multi-node job have network interfaces of their own, which never get a public address (Batch runs them
    in ECS's `awsvpc` mode). The machine still pulls the image and ships the logs; the program itself reaches S3 and
    nothing else. That is enough, for its spec, data, base and checkpoints are there; a base from the hub
    needs `nat`.

    `nat` puts everything into private subnets behind NAT gateways. `endpoints` puts it into private subnets that
    reach AWS's services and no internet.
    """

    def __init__(self, scope: Construct, id: str, config: NetworkConfig, *, logs: s3.Bucket) -> None:
        super().__init__(scope, id)
        private = (
            ec2.SubnetType.PRIVATE_WITH_EGRESS if config.egress == "nat" else ec2.SubnetType.PRIVATE_ISOLATED
        )
        subnets = [ec2.SubnetConfiguration(name="Private", subnet_type=private, cidr_mask=22)]
        if config.egress != "endpoints":
            subnets.append(
                ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=22)
            )
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr(config.cidr),
            availability_zones=[cdk.Fn.select(zone, cdk.Fn.get_azs()) for zone in range(config.zones)],
            subnet_configuration=subnets,
            nat_gateways=config.nat_gateways if config.egress == "nat" else 0,
            # Nodes of one job talk within this group; see `nodes`.
            restrict_default_security_group=False,
        )
        self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        self.vpc.add_gateway_endpoint("DynamoDb", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        self.vpc.add_flow_log(
            "Flow",
            destination=ec2.FlowLogDestination.to_s3(logs, "network"),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
        chosen = ec2.SubnetType.PUBLIC if config.egress == "public" else private
        self.subnets = self.vpc.select_subnets(subnet_type=chosen).subnets
        """One for each zone."""
        self.machines = ec2.SecurityGroup(
            self,
            "Machines",
            vpc=self.vpc,
            description="Machines of one-node jobs: out to anywhere, in from nowhere",
        )
        self.nodes = self._nodes()
        for service in dict.fromkeys((*(ENDPOINTS if config.egress == "endpoints" else ()), *config.endpoints)):
            self._endpoint(service, private)

    def _nodes(self) -> str:
        """The group of the nodes of multi-node jobs: the VPC's default one, which admits its members and nobody else.

        It can't be another: Batch gives a node's own interface the compute environment's groups, which may not be set
        beside a launch template's interfaces, and the VPC's default group when there are none. An elastic fabric
        adapter wants a rule out to its own group as well; one to 0.0.0.0/0 doesn't cover it.
        """
        group = self.vpc.vpc_default_security_group
        ec2.CfnSecurityGroupEgress(
            self,
            "NodeToNode",
            group_id=group,
            destination_security_group_id=group,
            ip_protocol="-1",
            description="Elastic fabric adapters talk to their own group",
        )
        return group

    def _endpoint(self, service: str, private: ec2.SubnetType) -> None:
        self.vpc.add_interface_endpoint(
            "".join(part.capitalize() for part in service.replace(".", "-").split("-")),
            service=ec2.InterfaceVpcEndpointService(f"com.amazonaws.{cdk.Aws.REGION}.{service}", 443),
            subnets=ec2.SubnetSelection(subnet_type=private),
            private_dns_enabled=True,
        )
