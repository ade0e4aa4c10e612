"""Every right of the API's function, each with its reason where it can't name one thing."""

from __future__ import annotations

import json

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from genai_stack import choices, names
from genai_stack.catalogue import ModelConfig

from .acknowledge import acknowledge, acknowledge_objects, imported
from .hosting_roles import attaching_rights, registry_resources
from .storage import Storage

READS: tuple[names.Layer, ...] = ("training", "hosting")
DEFINITIONS = ("train-definition", "batch-definition")
"""Of the training stack: what a fine-tuning job and a batch run as. The API starts nothing else, and nothing on several
machines."""
WRITES = ("files/*", "jobs/*", "responses/*", "vectors/*")
"""Of the artefact bucket: what people upload, the specs of the jobs they start, responses and conversations that are
too large for a record, and passages of people's files."""
DELETES = ("files/*", "responses/*", "vectors/*")

VECTORS = [
    f"s3vectors:{action}"
    for action in ("CreateIndex", "DeleteIndex", "PutVectors", "DeleteVectors", "GetVectors", "QueryVectors")
]
"""An index for each vector store, made by its first file and deleted with it."""


def api_role(
    scope: Construct, id: str, *, stage: str, models: list[ModelConfig], storage: Storage, log: logs.LogGroup
) -> iam.Role:
    """The role of the API of `stage`, in front of the hosted `models`."""
    role = iam.Role(
        scope, id, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), description="The API of a stage"
    )
    for statement in [
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], log.log_group_arn),
        # Neither knows resources.
        _allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
        *_published(stage),
        _allow(
            ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
            storage.records.table_arn,
        ),
        storage.use_of_key(),
        *_objects(storage, models),
        _allow(VECTORS, f"{storage.vectors.attr_vector_bucket_arn}/index/*"),
        *_jobs(scope, stage),
        *(_models(stage, models, storage) if models else ()),
    ]:
        role.add_to_policy(statement)
    _explain(role, stage, storage, models)
    return role


def _published(stage: str) -> list[iam.PolicyStatement]:
    paths = [_arn("ssm", f"parameter{names.parameter(stage, layer, '').rstrip('/')}") for layer in READS]
    # A question by path is allowed or not for the path itself, and a slash at its end counts.
    return [_allow(["ssm:GetParametersByPath"], *(f"{path}{below}" for path in paths for below in ("", "/*")))]


def _objects(storage: Storage, models: list[ModelConfig]) -> list[iam.PolicyStatement]:
    bucket = storage.artefacts
    writes, reads = prefixes(models)
    change = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    return [
        _allow(["s3:ListBucket"], bucket.bucket_arn),
        _allow(["s3:GetObject"], *(bucket.arn_for_objects(prefix) for prefix in reads)),
        _allow(change, *(bucket.arn_for_objects(prefix) for prefix in writes)),
        _allow(["s3:DeleteObject"], *(bucket.arn_for_objects(prefix) for prefix in deleted(models))),
    ]


def deleted(models: list[ModelConfig]) -> list[str]:
    """What the API deletes in the bucket: with a model that answers through S3, what it has taken of its answers, and
    the question of what isn't wanted any more."""
    lasting = [model.name for model in models if choices.asynchronous(model)]
    return [*DELETES, *(f"{where(name)}/*" for name in lasting for where in (names.questions, names.answers))]


def prefixes(models: list[ModelConfig]) -> tuple[list[str], list[str]]:
    """What the API writes and reads in the bucket: with a model that answers through S3, its questions and answers."""
    lasting = [model.name for model in models if choices.asynchronous(model)]
    writes = [*WRITES, *(f"{names.questions(name)}/*" for name in lasting)]
    return writes, [*WRITES, *(f"{names.answers(name)}/*" for name in lasting)]


def _jobs(scope: Construct, stage: str) -> list[iam.PolicyStatement]:
    """A definition has a new revision with each deployment, so that its name is taken from what was published."""
    job = _arn("batch", "job/*")
    started = [_parameter(scope, stage, "spot-queue"), job]
    started += [_arn("batch", f"{name}{any}") for name in _definitions(scope, stage) for any in ("", ":*")]
    return [
        _allow(["batch:SubmitJob"], *started),
        _allow(["batch:TerminateJob"], job),
        # These know no resources.
        _allow(["batch:DescribeJobs", "batch:ListJobs", "batch:DescribeJobQueues"], "*"),
    ]


def _definitions(scope: Construct, stage: str) -> list[str]:
    """Of arn:aws:batch:region:account:job-definition/NAME:REVISION, the part with the name."""
    return [cdk.Fn.select(5, cdk.Fn.split(":", _parameter(scope, stage, what))) for what in DEFINITIONS]


def _models(stage: str, models: list[ModelConfig], storage: Storage) -> list[iam.PolicyStatement]:
    """Ask the endpoints; free what a deleted fine-tune holds; keep the registry in step with the records. Nothing here
    makes a component."""
    at_once = [m.name for m in models if not choices.asynchronous(m) and not m.serverless]
    alone = [m.name for m in models if m.serverless]
    later = [m.name for m in models if choices.asynchronous(m)]
    component = _arn("sagemaker", f"inference-component/{names.components(stage)}")
    statements = []
    if at_once:
        invoke = ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]
        statements += [
            _allow(invoke, *(_endpoint(stage, name) for name in at_once), component),
            _allow(
                [
                    "sagemaker:DescribeInferenceComponent",
                    "sagemaker:UpdateInferenceComponentRuntimeConfig",
                    "sagemaker:DeleteInferenceComponent",
                ],
                component,
            ),
        ]
    if alone:
        statements.append(_allow(["sagemaker:InvokeEndpoint"], *(_endpoint(stage, name) for name in alone)))
        # Whether it answers is its endpoint's to say.
        statements.append(_allow(["sagemaker:DescribeEndpoint"], *(_endpoint(stage, name) for name in alone)))
    if later:
        statements.append(
            _allow(["sagemaker:InvokeEndpointAsync"], *(_endpoint(stage, name) for name in later))
        )
    registry = attaching_rights(stage, [], storage)
    packages = [s for s in registry if any("ModelPackage" in action for action in s.actions)]
    return [*statements, *packages]


def _explain(role: iam.Role, stage: str, storage: Storage, models: list[ModelConfig]) -> None:
    here = "<AWS::Region>:<AWS::AccountId>"
    for layer in READS:
        path = names.parameter(stage, layer, "*")
        finding = f"Resource::arn:<AWS::Partition>:ssm:{here}:parameter{path}"
        acknowledge(role, "IAM5", finding, f"what the {layer} stack published, all of it")
    nothing = "X-Ray's two actions, those of Batch that look, and ListModelPackages know no resources"
    acknowledge(role, "IAM5", "Resource::*", nothing)
    writes, reads = prefixes(models)
    for prefix in sorted({*writes, *reads}):
        acknowledge_objects(role, storage.artefacts, prefix, "objects named after ids that come later")
    vectors = imported(cdk.Stack.of(storage), storage.vectors.attr_vector_bucket_arn)
    acknowledge(role, "IAM5", f"Resource::{vectors}/index/*", "indexes named after stores that come later")
    for name in _definitions(role, stage):
        as_printed = json.dumps(cdk.Stack.of(role).resolve(name), separators=(",", ":"))
        finding = f"Resource::arn:<AWS::Partition>:batch:{here}:{as_printed}:*"
        acknowledge(role, "IAM5", finding, "a definition's revisions, one with each deployment")
    later = "named after jobs and models that come later"
    sagemaker = (f"inference-component/{names.components(stage)}", *registry_resources(stage))
    for resource in ("batch:{}:job/*", *(f"sagemaker:{{}}:{what}" for what in sagemaker if models)):
        acknowledge(role, "IAM5", f"Resource::arn:<AWS::Partition>:{resource.format(here)}", later)


def _parameter(scope: Construct, stage: str, what: str) -> str:
    """What the training stack published, as it is when this stack is deployed."""
    return ssm.StringParameter.value_for_string_parameter(scope, names.parameter(stage, "training", what))


def _allow(actions: list[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=actions, resources=list(resources))


def _endpoint(stage: str, model: str) -> str:
    return _arn("sagemaker", f"endpoint/{names.endpoint(stage, model)}")


def _arn(service: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"
