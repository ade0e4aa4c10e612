"""How machines are billed, and the network they stand in: endpoints, fleets, gateways, addresses."""

from __future__ import annotations

from typing import Any

from .book import HOURS, Item
from .parts import Asked, Bill, Kind, Part, hourly, standing, used
from .templates import Unreadable, listed, number, references

FREE_IOPS, FREE_MBPS = 3000, 125
"""Of a gp3 disk."""


def endpoint(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """Machines of each variant: those that are always up, and the hours of one more that the load says. One without
    machines costs nothing by itself."""
    known = (asked.template.properties(one) for one in references(properties.get("EndpointConfigName")))
    variants = [v for config in known for v in listed(config, "ProductionVariants")]
    if not variants:
        raise Unreadable("its configuration stands elsewhere")
    if all("ServerlessConfig" in variant for variant in variants):
        return Bill((), "the seconds that requests take, by the gigabyte of memory")
    name, hours = properties.get("EndpointName"), asked.load.hosting_hours
    parts = []
    for variant in variants:
        always = _always_up(asked, name, variant)
        machine, others = _machine(variant)
        basis = f"{always:g} always up, {hours:g} hours of one more" + (f"; or {others}" if others else "")
        parts.append(Part(Item("sagemaker-hour", machine), always * HOURS, always * HOURS + hours, basis))
    return Bill(tuple(parts), "what goes in and out of it, by the gigabyte")


def _machine(variant: dict[str, Any]) -> tuple[str, str]:
    """The machine that is tried first, and the others in words."""
    if "InstanceType" in variant:
        return str(variant["InstanceType"]), ""
    pools = sorted(listed(variant, "InstancePools"), key=lambda pool: number(pool, "Priority"))
    if not pools:
        raise Unreadable("InstanceType is only known in the account")
    first, *rest = (str(pool["InstanceType"]) for pool in pools)
    return first, " or ".join(rest)


def _always_up(asked: Asked, endpoint: Any, variant: dict[str, Any]) -> float:
    scaling = variant.get("ManagedInstanceScaling", {})
    if scaling.get("Status") == "ENABLED":
        return number(scaling, "MinInstanceCount")
    wanted = f"endpoint/{endpoint}/variant/{variant.get('VariantName')}"
    for target in asked.template.of_type("AWS::ApplicationAutoScaling::ScalableTarget").values():
        if target.get("ResourceId") == wanted:
            return number(target, "MinCapacity")
    return number(variant, "InitialInstanceCount")


def fleet(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """A compute environment: machines while jobs run, with their disks and addresses."""
    resources = properties.get("ComputeResources", {})
    kind = resources.get("Type")
    if kind not in ("SPOT", "EC2"):
        raise Unreadable(f"machines of type {kind!r} aren't priced")
    if number(resources, "MinvCpus"):
        raise Unreadable("MinvCpus keeps machines up; how many depends on their type")
    hours = asked.load.training_hours if kind == "SPOT" else asked.load.multi_node_hours
    machine = str(listed(resources, "InstanceTypes")[0])
    share = number(resources, "BidPercentage", 100) / 100 if kind == "SPOT" else 1.0
    bound = f" at most {share:.0%} of on demand, spot is billed below" if kind == "SPOT" else ""
    parts = [used("ec2-hour", machine, hours * share, f"{hours:g} hours,{bound or ' on demand'}")]
    subnets = [asked.template.properties(one) for one in references(resources.get("Subnets"))]
    if any(subnet.get("MapPublicIpOnLaunch") for subnet in subnets):
        parts.append(used("hour", "public-address", hours, f"{hours:g} hours of a machine's address"))
    for template in references(resources.get("LaunchTemplate", {}).get("LaunchTemplateId")):
        parts += _disks(asked.template.properties(template), hours)
    return Bill(tuple(parts), "metrics of the GPUs, while jobs run")


def _disks(template: dict[str, Any], hours: float) -> list[Part]:
    parts, months = [], hours / HOURS
    for mapping in listed(template.get("LaunchTemplateData", {}), "BlockDeviceMappings"):
        disk = mapping.get("Ebs", {})
        if disk.get("VolumeType") != "gp3":
            raise Unreadable(f"a disk of type {disk.get('VolumeType')!r} isn't priced")
        size = number(disk, "VolumeSize")
        parts.append(used("gb-month", "disk", size * months, f"{size:g} GB for {hours:g} hours"))
        for unit, name, free in (("Iops", "disk-iops", FREE_IOPS), ("Throughput", "disk-mbps", FREE_MBPS)):
            over = number(disk, unit, free) - free
            if over > 0:
                parts.append(used("month", name, over * months, f"{over:g} over what is free"))
    return parts


def nat_gateway(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    return Bill((hourly("nat-gateway", 1, "around the clock"),), "what passes through it, by the gigabyte")


def address(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    return Bill((hourly("public-address", 1, "around the clock"),))


def network_endpoint(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """A gateway is free, an interface is billed in each zone."""
    if properties.get("VpcEndpointType", "Gateway") == "Gateway":
        return Bill()
    zones = len(listed(properties, "SubnetIds"))
    part = hourly("interface-endpoint", zones, f"{zones} zones, around the clock")
    return Bill((part,), "what passes through it, by the gigabyte")


def flow_log(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    return Bill((), "what it delivers, by the gigabyte")


def components(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """The machines are the endpoint's."""
    return Bill((), "alarms that scaling makes for itself: two for each model, three for one that goes to zero")


def scaling(asked: Asked, id: str, properties: dict[str, Any]) -> Bill:
    """One that tracks a target makes an alarm for either direction."""
    if properties.get("PolicyType") != "TargetTrackingScaling":
        return Bill()
    return Bill((standing("alarm", 2, "2 that it makes for itself"),))


MACHINES: dict[str, Kind] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": scaling,
    "AWS::Batch::ComputeEnvironment": fleet,
    "AWS::EC2::EIP": address,
    "AWS::EC2::FlowLog": flow_log,
    "AWS::EC2::NatGateway": nat_gateway,
    "AWS::EC2::VPCEndpoint": network_endpoint,
    "AWS::SageMaker::Endpoint": endpoint,
    "Custom::InferenceComponents": components,
}
