"""What the machines of a configuration cost: by the hour, and a month in which nobody asks anything."""

from __future__ import annotations

from collections.abc import Iterator

from .. import choices
from ..config import StackConfig
from ..findings import Finding
from .book import HOURS, Item, PriceBook

OWN = "write it into a file and see: genai-stack cost --prices FILE"


def examine(config: StackConfig, book: PriceBook, region: str) -> Iterator[Finding]:
    """A finding for each hosted model and each queue, and one for what machines cost while all is idle."""
    always, unknown = 0.0, False
    for model in config.hosted_models:
        up, most = choices.least_machines(model), choices.machines(model)
        usd = book.price(Item("sagemaker-hour", f"ml.{model.instances[0]}"))
        yield _machine(model.name, f"ml.{model.instances[0]}", usd, f"{up} always up, {most} at most")
        always += up * (usd or 0.0)
        unknown |= usd is None and up > 0
    spot, many = config.training.spot, config.training.multi_node
    for queue, instance, told in (
        ("spot queue", spot.instances[0], f"at most {spot.bid_percent} % of it, and none while no job runs"),
        ("multi-node queue", many.instance, f"{many.nodes} for a job that doesn't say, none while no job runs"),
    ):
        yield _machine(queue, instance, book.price(Item("ec2-hour", instance)), told)
    month = f"{always * HOURS:,.2f} USD a month for machines that are always up"
    yield Finding(
        "idle price",
        "warn" if unknown else "ok",
        f"{month}{', and those without a known price' if unknown else ''}",
        OWN if unknown else "",
    )
    there = f"; in {region} they differ" if region != book.region else ""
    yield Finding("price", "ok" if not there else "warn", f"by {book.told()}{there}", OWN if there else "")


def _machine(name: str, instance: str, usd: float | None, told: str) -> Finding:
    if usd is None:
        return Finding("price", "warn", f"{name}: no price of {instance} is known; {told}", OWN)
    return Finding("price", "ok", f"{name}: {usd:,.2f} USD an hour for each {instance}; {told}")
