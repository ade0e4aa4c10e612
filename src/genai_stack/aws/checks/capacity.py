"""Whether the account may have the machines that `stack.toml` asks for, and whether its zones have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from genai_stack import choices
from genai_stack.config import SpotConfig
from genai_stack.findings import Finding
from genai_stack.machines import MACHINES, family

from .asking import Place


def fleet_quotas(place: Place) -> Iterator[Finding]:
    """EC2 counts vCPUs, of a kind of machine, spot and on demand apart."""
    quotas = _quotas(place, "ec2")
    training = place.config.training
    spot, many = training.spot, training.multi_node
    yield from _spot(quotas, spot)
    needed = MACHINES[many.instance].vcpus * many.nodes
    if many.capacity_reservation:
        yield Finding("quota", "ok", f"multi-node queue: runs in {many.capacity_reservation}")
        return
    yield _vcpus("multi-node queue", quotas, _on_demand_quota(many.instance), needed, many.max_vcpus)


def endpoint_quotas(place: Place) -> Iterator[Finding]:
    """SageMaker counts machines of a type."""
    models = place.config.hosted_models
    if not models:
        yield Finding("quota", "ok", "stack.toml hosts no model")
        return
    quotas = _quotas(place, "sagemaker")
    for model in models:
        always, most = choices.least_machines(model), choices.machines(model)
        wanted = {name: quotas.get(f"ml.{name} for endpoint usage") for name in model.instances}
        told = ", ".join(f"{_count(count)} ml.{name}" for name, count in wanted.items())
        found = f"{model.name}: {told} for endpoints; {max(always, 1)} at the least, {most} at most"
        best = max((count for count in wanted.values() if count is not None), default=None)
        ask = f'ask for {most} under Service Quotas, Amazon SageMaker: "ml.{model.instances[0]} for endpoint usage"'
        if best is None:
            yield Finding(
                "quota", "warn", f"{model.name}: Service Quotas tells of no {' or '.join(wanted)}", ask
            )
        elif best < max(always, 1):
            yield Finding("quota", "fail", found, ask)
        else:
            yield Finding("quota", "ok" if best >= most else "warn", found, "" if best >= most else ask)


def offerings(place: Place) -> Iterator[Finding]:
    """The zones of a stage's network are the first ones of the region, as CloudFormation lists them. SageMaker doesn't
    say where it has machines; what EC2 lacks in the region it will hardly have."""
    training, ec2 = place.config.training, place.make("ec2")
    hosted = {name: model.name for model in place.config.hosted_models for name in model.instances}
    spot, many = training.spot, training.multi_node
    wanted = sorted({*spot.instances, many.instance, *hosted})
    zones = sorted(
        zone["ZoneName"]
        for zone in ec2.describe_availability_zones(
            Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}]
        )["AvailabilityZones"]
    )[: training.network.zones]
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": wanted}]
    )
    offered: dict[str, set[str]] = {}
    for one in (one for page in pages for one in page["InstanceTypeOfferings"]):
        offered.setdefault(one["InstanceType"], set()).add(one["Location"])
    yield _offered(
        "spot queue", spot.instances[0], zones, offered, "name another under training.spot.instances"
    )
    at = zones[many.zone - 1 : many.zone]
    yield _offered(
        "multi-node queue", many.instance, at, offered, "set training.multi_node.zone, or name another instance"
    )
    for name, model in hosted.items():
        if not offered.get(name):
            yield Finding(
                "zones",
                "warn",
                f"{model}: EC2 has no {name} in {place.region}",
                "take another instance or region",
            )


def _quotas(place: Place, service: str) -> dict[str, float]:
    client = place.make("service-quotas")
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode=service)
    return {one["QuotaName"]: float(one["Value"]) for page in pages for one in page["Quotas"]}


def _spot(quotas: Mapping[str, float], spot: SpotConfig) -> Iterator[Finding]:
    """One finding for each quota that the queue's machines count for. Batch takes what it gets: it fails where none of
    them has room for a machine."""
    kinds: dict[str, list[str]] = {}
    for instance in spot.instances:
        kinds.setdefault(_spot_quota(instance, quotas), []).append(instance)
    found = []
    for name, instances in kinds.items():
        queue = "spot queue" if len(kinds) == 1 else f"spot queue ({', '.join(instances)})"
        least = min(MACHINES[instance].vcpus for instance in instances)
        found.append(_vcpus(queue, quotas, name, least, spot.max_vcpus))
    all_fail = all(one.state == "fail" for one in found)
    for one in found:
        yield one if all_fail or one.state != "fail" else msgspec.structs.replace(one, state="warn")


def _on_demand_quota(instance: str) -> str:
    kind = "P" if instance.startswith("p") else "G and VT"
    return f"Running On-Demand {kind} instances"


def _spot_quota(instance: str, quotas: Mapping[str, Any]) -> str:
    """P machines have quotas of their own by generation: "All P4, P3 and P2 Spot Instance Requests"."""
    if not instance.startswith("p"):
        return "All G and VT Spot Instance Requests"
    generation = re.match(r"p\d", family(instance))
    word = generation[0].upper() if generation else "P"
    named = (
        name for name in quotas if name.endswith("Spot Instance Requests") and word in re.split(r"\W+", name)
    )
    return next(named, f"All {word} Spot Instance Requests")


def _vcpus(queue: str, quotas: Mapping[str, float], name: str, least: int, most: int) -> Finding:
    have, ask = quotas.get(name), f'ask for {most} under Service Quotas, Amazon EC2: "{name}"'
    if have is None:
        return Finding("quota", "warn", f'{queue}: Service Quotas tells of no "{name}"', ask)
    found = f"{queue}: {have:g} vCPUs of {name}; a job takes {least}, all together {most}"
    if have < least:
        return Finding("quota", "fail", found, ask)
    return Finding("quota", "ok" if have >= most else "warn", found, "" if have >= most else ask)


def _offered(
    queue: str, instance: str, zones: list[str], offered: Mapping[str, set[str]], remedy: str
) -> Finding:
    has = [zone for zone in zones if zone in offered.get(instance, ())]
    elsewhere = ", ".join(sorted(offered.get(instance, ()))) or "nowhere in the region"
    if not has:
        found = f"{queue}: no {instance} in {', '.join(zones) or 'any zone'}; it is offered in {elsewhere}"
        return Finding("zones", "fail", found, remedy)
    whole = len(has) == len(zones)
    found = f"{queue}: {instance} in {', '.join(has)}"
    return Finding("zones", "ok" if whole else "warn", found, "" if whole else remedy)


def _count(count: float | None) -> str:
    return "an unknown number of" if count is None else f"{count:g}"
