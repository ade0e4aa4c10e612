"""What templates cost: each resource is priced, free, billed by a use that isn't counted, or told as unpriced; none is
dropped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from .book import PriceBook
from .load import Load
from .machine_kinds import MACHINES
from .parts import Asked, Bill
from .service_kinds import SERVICES
from .templates import Template, Unreadable

KINDS = MACHINES | SERVICES
FREE = frozenset(
    (
        "AWS::ApiGateway::Account", "AWS::ApiGateway::Deployment", "AWS::ApiGateway::GatewayResponse",
        "AWS::ApiGateway::Method", "AWS::ApiGateway::Resource", "AWS::ApiGateway::RestApi",
        "AWS::ApplicationAutoScaling::ScalableTarget", "AWS::Batch::JobDefinition",
        "AWS::Batch::JobQueue", "AWS::Budgets::Budget", "AWS::CDK::Metadata",
        "AWS::EC2::InternetGateway", "AWS::EC2::LaunchTemplate", "AWS::EC2::PlacementGroup", "AWS::EC2::Route",
        "AWS::EC2::RouteTable", "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress", "AWS::EC2::Subnet", "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPC", "AWS::EC2::VPCGatewayAttachment", "AWS::Events::Rule", "AWS::IAM::InstanceProfile",
        "AWS::IAM::Policy", "AWS::IAM::Role", "AWS::Lambda::EventInvokeConfig", "AWS::Lambda::Permission",
        "AWS::Logs::ResourcePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy", "AWS::SSM::Parameter", "AWS::SageMaker::Model",
        "AWS::SageMaker::ModelPackageGroup", "AWS::WAFv2::WebACLAssociation",
    )
)  # fmt: skip
"""What AWS charges nothing for by itself: a standard parameter, a budget without actions, a rule for AWS's events."""


class Charge(msgspec.Struct, frozen=True):
    """One thing that a resource is billed by, in US dollars a month: `idle` while nobody asks anything, `load` of all
    that the load says. Both are None where it is unpriced, and `basis` says why. `uncounted` is use that costs and that
    the load doesn't tell; where there is nothing else, that is the state too."""

    stack: str
    resource: str
    kind: str
    state: Literal["priced", "free", "uncounted", "unpriced"]
    item: str = ""
    unit_usd: float | None = None
    idle: float | None = None
    load: float | None = None
    basis: str = ""
    uncounted: str = ""


class Estimate(msgspec.Struct, frozen=True):
    """`idle` and `load` are the sums of what is priced. `usd_per_million_tokens` is the load's sum over its answered
    tokens, None where there are none."""

    prices: str
    asked: Load
    charges: list[Charge]
    idle: float
    load: float
    usd_per_million_tokens: float | None = None


def estimate(templates: Iterable[Template], book: PriceBook, load: Load) -> Estimate:
    """A month of all that the templates make."""
    charges = [
        charge
        for template in templates
        for id, resource in template.resources.items()
        for charge in _charges(template, id, resource, book, load)
    ]
    idle = sum(one.idle or 0.0 for one in charges)
    used = sum(one.load or 0.0 for one in charges)
    per_token = used / load.tokens * 1e6 if load.tokens else None
    return Estimate(book.told(), load, charges, idle, used, per_token)


def _charges(
    template: Template, id: str, resource: dict[str, Any], book: PriceBook, load: Load
) -> list[Charge]:
    type = str(resource.get("Type"))
    blank = Charge(template.stack, id, type, "free")

    def unpriced(why: str, item: str = "") -> Charge:
        return msgspec.structs.replace(blank, state="unpriced", basis=why, item=item)

    if type in FREE:
        return [blank]
    if type not in KINDS:
        return [unpriced("nobody has said how this kind is billed")]
    try:
        bill: Bill = KINDS[type](Asked(template, load), id, template.properties(id))
    except Unreadable as error:
        return [unpriced(str(error))]
    except (AttributeError, IndexError, KeyError, TypeError):
        return [unpriced("its properties have a form that isn't known here")]
    if not bill.parts:
        state: Literal["free", "uncounted"] = "uncounted" if bill.uncounted else "free"
        return [msgspec.structs.replace(blank, state=state, uncounted=bill.uncounted)]
    made = []
    for part in bill.parts:
        usd = book.price(part.item)
        if usd is None:
            made.append(unpriced(f"no price of {part.item} is known; {part.basis}", str(part.item)))
            continue
        charge = msgspec.structs.replace(
            blank,
            state="priced",
            item=str(part.item),
            unit_usd=usd,
            idle=part.idle * usd,
            load=part.load * usd,
            basis=part.basis,
        )
        made.append(charge)
    made[0] = msgspec.structs.replace(made[0], uncounted=bill.uncounted)
    return made
