"""Who may do what while a job runs. Four principals, none with another's rights."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as assets
from constructs import Construct

from genai_stack import names

from .acknowledge import acknowledge, acknowledge_objects
from .images import Image
from .storage import Storage

_ECS = "ecs-tasks.amazonaws.com"


class JobRoles(Construct):
    """`instance` is a machine's: it joins its cluster and reports GPU metrics. `execution` is the ECS agent's for one
    job: it pulls the image and writes the log. `job` is the program's: it reads and writes its objects. `managed` is a
    SageMaker training job's, which has all of these; in a network of ours (`private`) also what its interfaces take."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        storage: Storage,
        image: Image,
        program: assets.Asset,
        stage: str,
        *,
        private: bool,
    ) -> None:
        super().__init__(scope, id)
        self.instance = self._instance(stage)
        self.profile = iam.CfnInstanceProfile(self, "InstanceProfile", roles=[self.instance.role_name])
        self.execution = self._role("Execution", _ECS, "The ECS agent, for one job")
        self.job = self._role("Job", _ECS, "The training program")

        for statement in pull_rights(image):
            self.execution.add_to_policy(statement)
        self.execution.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[storage.job_log.log_group_arn]
            )
        )
        for statement in _work(storage, program):
            self.job.add_to_policy(statement)
        self.managed = self._managed([*pull_rights(image), *_work(storage, program)], private)
        self._explain(storage)

    def _managed(self, work: list[iam.PolicyStatement], private: bool) -> iam.Role:
        role = self._role("Managed", "sagemaker.amazonaws.com", "A SageMaker training job")
        for statement in work:
            role.add_to_policy(statement)
        group = _arn("logs", f"log-group:{names.TRAINING_JOB_LOGS}")
        write = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
        role.add_to_policy(iam.PolicyStatement(actions=["logs:CreateLogGroup"], resources=[group]))
        role.add_to_policy(iam.PolicyStatement(actions=write, resources=[f"{group}:*"]))
        role.add_to_policy(_put_metrics(names.TRAINING_JOB_LOGS))
        if private:
            # https://docs.aws.amazon.com/sagemaker/latest/dg/train-vpc.html; they know no resources, or none by name.
            interface = ["Create", "Delete"]
            acts = [f"ec2:{act}NetworkInterface{of}" for act in interface for of in ("", "Permission")]
            sees = ("NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups")
            acts += [f"ec2:Describe{what}" for what in sees]
            role.add_to_policy(iam.PolicyStatement(actions=acts, resources=["*"]))
        return role

    def _instance(self, stage: str) -> iam.Role:
        role = iam.Role(
            self,
            "Instance",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            description="A machine that runs jobs",
        )
        cluster, member = _arn("ecs", "cluster/*"), _arn("ecs", "container-instance/*")
        join = ["ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance"]
        join += [
            "ecs:SubmitContainerStateChange",
            "ecs:SubmitTaskStateChange",
            "ecs:SubmitAttachmentStateChanges",
        ]
        serve = ["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"]
        role.add_to_policy(iam.PolicyStatement(actions=join, resources=[cluster]))
        role.add_to_policy(iam.PolicyStatement(actions=serve, resources=[member]))
        # The action knows no resources.
        role.add_to_policy(iam.PolicyStatement(actions=["ecs:DiscoverPollEndpoint"], resources=["*"]))
        role.add_to_policy(_put_metrics(names.metrics(stage)))
        return role

    def _role(self, id: str, service: str, description: str) -> iam.Role:
        return iam.Role(
            self,
            id,
            assumed_by=iam.ServicePrincipal(
                service, conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}}
            ),
            description=description,
        )

    def _explain(self, storage: Storage) -> None:
        clusters = "Batch makes its clusters itself and names them after it has"
        acknowledge(self.instance, "IAM5", _here("ecs", "cluster/*"), clusters)
        acknowledge(self.instance, "IAM5", _here("ecs", "container-instance/*"), clusters)
        nothing = "the action knows no resources"
        acknowledge(
            self.instance, "IAM5", "Resource::*", f"PutMetricData: {nothing}; its namespace is a condition"
        )
        acknowledge(self.execution, "IAM5", "Resource::*", f"GetAuthorizationToken: {nothing}")
        for role in (self.job, self.managed):
            acknowledge_objects(role, storage.artefacts, "*", "a job may start from any artefact")
            acknowledge_objects(role, storage.artefacts, "jobs/*", "a job's own objects, whose id comes later")
        streams = _here("logs", f"log-group:{names.TRAINING_JOB_LOGS}:*")
        acknowledge(self.managed, "IAM5", streams, "SageMaker names its streams itself")
        reason = f"PutMetricData, GetAuthorizationToken and a network interface's actions: {nothing}"
        acknowledge(self.managed, "IAM5", "Resource::*", reason)


def _arn(service: str, resource: str) -> str:
    return f"arn:{cdk.Aws.PARTITION}:{service}:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:{resource}"


def _here(service: str, resource: str) -> str:
    """The same as cdk-nag prints it."""
    return f"Resource::arn:<AWS::Partition>:{service}:<AWS::Region>:<AWS::AccountId>:{resource}"


def pull_rights(image: Image) -> list[iam.PolicyStatement]:
    """What a principal needs to pull an image; nothing where the registry isn't ECR."""
    if image.repository is None:
        return []
    layers = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    return [
        iam.PolicyStatement(actions=layers, resources=[image.repository]),
        # The action knows no resources.
        iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
    ]


def _put_metrics(namespace: str) -> iam.PolicyStatement:
    # The action knows no resources.
    return iam.PolicyStatement(
        actions=["cloudwatch:PutMetricData"],
        resources=["*"],
        conditions={"StringEquals": {"cloudwatch:namespace": namespace}},
    )


def _work(storage: Storage, program: assets.Asset) -> list[iam.PolicyStatement]:
    """Read everything among the artefacts, write below `jobs/`, and fetch the program."""
    bucket = storage.artefacts
    write = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    return [
        iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn]),
        iam.PolicyStatement(actions=["s3:GetObject"], resources=[bucket.arn_for_objects("*")]),
        iam.PolicyStatement(actions=write, resources=[bucket.arn_for_objects("jobs/*")]),
        iam.PolicyStatement(
            actions=["s3:GetObject"], resources=[program.bucket.arn_for_objects(program.s3_object_key)]
        ),
        storage.use_of_key(),
    ]
