"""What a hosted model may do in the account, and what the function that runs components may."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from genai_stack import choices, names
from genai_stack.catalogue import ModelConfig

from .acknowledge import acknowledge, acknowledge_objects
from .images import Image
from .roles import pull_rights
from .storage import Storage

SAGEMAKER = "sagemaker.amazonaws.com"
SCALING = "sagemaker.application-autoscaling.amazonaws.com"
DIMENSION = "sagemaker:inference-component:DesiredCopyCount"
LINKED = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
RESULTS = names.job_output("*")
WEIGHTS = ("models/*", f"{RESULTS}/model/*", f"{RESULTS}/merged/*")
ARCHIVES = f"{RESULTS}/adapter.tar.gz"
"""Of the artefact bucket: imported models, weights that training jobs made, and adapters as SageMaker takes them. No
spec, checkpoint or answer of a job, and not the data that people brought."""
INTERFACES = (
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission"),
    *("ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"),
    *("ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups"),
    *("ec2:DescribeSubnets", "ec2:DescribeVpcs"),
)
"""What SageMaker does in a VPC as a model's role ("Give SageMaker access to resources in your VPC")."""


def model_role(
    scope: Construct, id: str, *, model: ModelConfig, stage: str, image: Image, storage: Storage, vpc: bool
) -> iam.Role:
    """The execution role of one model: it pulls its image, reads weights, and writes its log and metrics. `vpc`: it
    stands in the network."""
    role = iam.Role(
        scope,
        id,
        assumed_by=iam.ServicePrincipal(
            SAGEMAKER, conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
        ),
        description=f"Hosted model {model.name}",
    )
    for statement in pull_rights(image):
        role.add_to_policy(statement)
    bucket = storage.artefacts
    weights, archives = _readable(model)
    own = [bucket.arn_for_objects(pattern) for pattern in (*weights, *archives)]
    foreign = _foreign(model)
    if own or foreign:
        role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[*own, *foreign]))
    if weights:
        role.add_to_policy(_lists(bucket.bucket_arn, weights))
    for arn in foreign:
        where, _, files = arn.partition("/")
        role.add_to_policy(_lists(where, (files,)))
    role.add_to_policy(iam.PolicyStatement(actions=["kms:Decrypt"], resources=[storage.key.key_arn]))
    groups = [
        names.component_log(names.component(stage, model.name)),
        names.endpoint_log(names.endpoint(stage, model.name)),
    ]
    for statement in writing_rights(role, groups):
        role.add_to_policy(statement)
    if vpc:
        # The describing ones know no resources, the interface's name comes later.
        role.add_to_policy(iam.PolicyStatement(actions=list(INTERFACES), resources=["*"]))
    _explain(role, storage, (*weights, *archives), foreign)
    return role


def writing_rights(role: iam.Role, groups: list[str]) -> list[iam.PolicyStatement]:
    """What `role`, a model's, writes: its log groups and its metrics."""
    logs = [_arn("logs", f"log-group:{group}{below}") for group in groups for below in ("", ":*")]
    acknowledge(
        role,
        "IAM5",
        "Resource::*",
        "GetAuthorizationToken and PutMetricData know no resources, the latter's namespace is a condition; a network "
        "interface is named when it is made",
    )
    for group in groups:
        finding = f"Resource::arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:{group}:*"
        acknowledge(role, "IAM5", finding, "the streams of the model's own log group")
    return [
        iam.PolicyStatement(
            actions=[
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:DescribeLogStreams",
                "logs:PutLogEvents",
            ],
            resources=logs,
        ),
        # The action knows no resources.
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
        ),
    ]


def _explain(role: iam.Role, storage: Storage, readable: tuple[str, ...], foreign: list[str]) -> None:
    for pattern in readable:
        acknowledge_objects(role, storage.artefacts, pattern, "a version or an adapter that is promoted later")
    for arn in foreign:
        path = arn.rpartition(":::")[2]
        acknowledge(
            role, "IAM5", f"Resource::arn:<AWS::Partition>:s3:::{path}", "the files of the model's source"
        )


def components_rights(stage: str, models: list[str], roles: list[iam.Role]) -> list[iam.PolicyStatement]:
    """What it takes to make, scale and remove the components of these models and of their adapters."""
    endpoints = [_arn("sagemaker", f"endpoint/{names.endpoint(stage, model)}") for model in models]
    component = _arn("sagemaker", f"inference-component/{names.components(stage)}")
    model = _arn("sagemaker", f"model/{names.served_models(stage)}")
    scaling = _arn("application-autoscaling", "scalable-target/*")
    alarms = [_arn("cloudwatch", f"alarm:{name}") for name in scaling_alarms(stage)]
    placing = ["sagemaker:CreateInferenceComponent", "sagemaker:UpdateInferenceComponent"]
    reading = ["sagemaker:DescribeInferenceComponent", "sagemaker:DeleteInferenceComponent"]
    targets = ["RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy", "DeleteScalingPolicy"]
    return [
        iam.PolicyStatement(
            actions=[*placing, "sagemaker:DescribeEndpoint"], resources=[component, *endpoints]
        ),
        iam.PolicyStatement(actions=reading, resources=[component]),
        iam.PolicyStatement(
            actions=["sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:DeleteModel"],
            resources=[model],
        ),
        # These two know no resources.
        iam.PolicyStatement(
            actions=["sagemaker:ListInferenceComponents", "sagemaker:ListModels"], resources=["*"]
        ),
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[role.role_arn for role in roles],
            conditions={"StringEquals": {"iam:PassedToService": SAGEMAKER}},
        ),
        iam.PolicyStatement(
            actions=[f"application-autoscaling:{action}" for action in targets],
            resources=[scaling],
            conditions={
                "StringEquals": {
                    "application-autoscaling:service-namespace": "sagemaker",
                    "application-autoscaling:scalable-dimension": DIMENSION,
                }
            },
        ),
        iam.PolicyStatement(actions=["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"], resources=alarms),
        iam.PolicyStatement(
            actions=["iam:CreateServiceLinkedRole"],
            resources=[
                f"arn:{cdk.Aws.PARTITION}:iam::{cdk.Aws.ACCOUNT_ID}:role/aws-service-role/{SCALING}/{LINKED}"
            ],
            conditions={"StringEquals": {"iam:AWSServiceName": SCALING}},
        ),
    ]


def scaling_alarms(stage: str) -> tuple[str, str]:
    """What the alarms of a stage's components match: ours, and those that target tracking makes, which it names
    `TargetTracking-<resource id>-…`."""
    components = names.components(stage)
    return f"{components}-from-zero", f"TargetTracking-inference-component/{components}"


def registry_resources(stage: str) -> tuple[str, str]:
    """A stage's part of SageMaker's model registry, as resources of ARNs."""
    groups = names.model_package_groups(stage)
    return f"model-package-group/{groups}", f"model-package/{groups}"


def attaching_rights(stage: str, models: list[str], storage: Storage) -> list[iam.PolicyStatement]:
    """What it takes for a finished job's model to become a version in SageMaker's registry, and for its adapter to be
    packed and to answer on the endpoints of these models."""
    endpoints = [_arn("sagemaker", f"endpoint/{names.endpoint(stage, model)}") for model in models]
    component = _arn("sagemaker", f"inference-component/{names.components(stage)}")
    packages = [_arn("sagemaker", resource) for resource in registry_resources(stage)]
    placing = ["sagemaker:CreateInferenceComponent", "sagemaker:UpdateInferenceComponent"]
    reading = ["sagemaker:DescribeInferenceComponent", "sagemaker:DeleteInferenceComponent"]
    groups = ["sagemaker:CreateModelPackageGroup", "sagemaker:DescribeModelPackageGroup"]
    changes = [f"sagemaker:{verb}ModelPackage" for verb in ("Create", "Describe", "Update", "Delete")]
    archive = ["s3:PutObject", "s3:AbortMultipartUpload"]
    return [
        iam.PolicyStatement(actions=placing, resources=[component, *endpoints]),
        iam.PolicyStatement(actions=reading, resources=[component]),
        iam.PolicyStatement(actions=[*groups, *changes], resources=packages),
        # The action knows no resources.
        iam.PolicyStatement(actions=["sagemaker:ListModelPackages"], resources=["*"]),
        iam.PolicyStatement(actions=archive, resources=[storage.artefacts.arn_for_objects("jobs/*")]),
    ]


def _readable(model: ModelConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The weights and the adapters that may be promoted to it; nothing is to one that answers through S3."""
    if choices.asynchronous(model):
        return (), ()
    return WEIGHTS, (ARCHIVES,) if model.adapters else ()


def _lists(bucket: str, prefixes: tuple[str, ...]) -> iam.PolicyStatement:
    return iam.PolicyStatement(
        actions=["s3:ListBucket"],
        resources=[bucket],
        conditions={"StringLike": {"s3:prefix": list(prefixes)}},
    )


def _foreign(model: ModelConfig) -> list[str]:
    """The objects of a model whose weights lie in a bucket."""
    if not model.source.startswith("s3://"):
        return []
    where = model.source.removeprefix("s3://").rstrip("/")
    return [f"arn:{cdk.Aws.PARTITION}:s3:::{where}/*"]


def _arn(service: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"
