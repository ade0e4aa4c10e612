"""Who asks, and whether the account has what every stage stands on."""

from __future__ import annotations

from collections.abc import Iterator

from genai_stack import names
from genai_stack.findings import Finding
from genai_stack.registries import REGISTRIES

from .. import published, session
from ..faults import code_of
from .asking import Check, Place, findings

SERVICES = (
    *(
        "apigateway",
        "application-autoscaling",
        "batch",
        "cloudformation",
        "cloudwatch",
        "dynamodb",
        "ecr",
        "ec2",
    ),
    *("events", "kms", "lambda", "logs", "s3", "sagemaker", "sns", "sqs", "ssm", "wafv2"),
)
"""That the stacks use, as botocore names them."""
BOOTSTRAP = "/cdk-bootstrap/hnb659fds/version"
OLDEST_BOOTSTRAP = 6
"""That the templates' own rule lets through."""
SPOT_ROLE = "AWSServiceRoleForEC2Spot"
LEFT_TO_OTHERS = 100
"""Of an account's concurrent functions; AWS sets none of these aside."""


def region(place: Place) -> Iterator[Finding]:
    """By the regions that botocore knows of; nobody is asked."""
    shared = session.shared()
    missing = [
        service
        for service in SERVICES
        if place.region not in shared.get_available_regions(service, partition_name=place.partition)
    ]
    if missing:
        yield Finding(
            "region", "warn", f"botocore knows no {', '.join(missing)} in {place.region}",
            "update boto3 if the region is new; else take another region",
        )  # fmt: skip
    else:
        yield Finding("region", "ok", f"{place.region} has all {len(SERVICES)} services")
    if place.region not in REGISTRIES:
        yield Finding(
            "region", "fail", f"AWS keeps no containers in {place.region}",
            "take another region, or name images of your own in stack.toml",
        )  # fmt: skip


def bootstrap(place: Place) -> Iterator[Finding]:
    command = f"run: npx {names.CDK_CLI} bootstrap aws://{place.account}/{place.region}"
    ssm = place.make("ssm")
    try:
        version = ssm.get_parameter(Name=BOOTSTRAP)["Parameter"]["Value"]
    except ssm.exceptions.ClientError as error:
        if code_of(error) != "ParameterNotFound":
            raise
        yield Finding("cdk bootstrap", "fail", f"{place.region} isn't bootstrapped", command)
        return
    if not version.isdigit() or int(version) < OLDEST_BOOTSTRAP:
        yield Finding(
            "cdk bootstrap", "fail", f"version {version}, and {OLDEST_BOOTSTRAP} is the oldest", command
        )
    else:
        yield Finding("cdk bootstrap", "ok", f"version {version}")


def spot_role(place: Place) -> Iterator[Finding]:
    """EC2 makes no spot machine without it, and Batch can't make it."""
    iam = place.make("iam")
    try:
        iam.get_role(RoleName=SPOT_ROLE)
    except iam.exceptions.ClientError as error:
        if code_of(error) != "NoSuchEntity":
            raise
        yield Finding(
            "spot role", "fail", "the account never ran a spot machine, and lacks EC2's role for them",
            "run: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
        )  # fmt: skip
    else:
        yield Finding("spot role", "ok", SPOT_ROLE)


def functions(place: Place) -> Iterator[Finding]:
    """Whether what the API sets aside can be set aside. Once it is deployed, that is no longer among what is free."""
    asked = place.config.service.gateway.concurrency
    if not asked:
        yield Finding("functions", "ok", "the API sets no functions aside")
        return
    free = place.make("lambda").get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    found = f"the API sets {asked} functions aside, of {free} that nobody has"
    if free - asked >= LEFT_TO_OTHERS:
        yield Finding("functions", "ok", found)
        return
    short = Finding(
        "functions", "fail", f"{found}; AWS wants {LEFT_TO_OTHERS} left",
        'ask for more "Concurrent executions" under Service Quotas, AWS Lambda, or set service.gateway.concurrency = 0',
    )  # fmt: skip

    def deployed(place: Place) -> Iterator[Finding]:
        if published.read_all(place.stage, "service"):
            yield Finding("functions", "ok", f"the API has its functions, and {free} more are free")
        else:
            yield short

    yield from findings((Check("functions", "ssm", deployed),), place)
