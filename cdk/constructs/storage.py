"""What stays when nothing runs: artefacts, records, logs, and the key over them."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3vectors as s3vectors
from constructs import Construct

from genai_stack import names
from genai_stack.config import TrainingConfig


class Storage(Construct):
    """The artefact, vector and log buckets, the records table and the jobs' log group of one stage."""

    def __init__(self, scope: Construct, id: str, config: TrainingConfig, stage: str) -> None:
        super().__init__(scope, id)
        kept = config.retain_data
        removal = cdk.RemovalPolicy.RETAIN if kept else cdk.RemovalPolicy.DESTROY
        self.key = kms.Key(
            self,
            "Key",
            description=f"genai-stack {stage}: artefacts, records and logs",
            enable_key_rotation=True,
            removal_policy=removal,
        )
        self.logs = s3.Bucket(
            self,
            "Logs",
            # S3 can deliver access logs to a bucket under its own keys only.
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            lifecycle_rules=[s3.LifecycleRule(expiration=cdk.Duration.days(config.log_days))],
            removal_policy=removal,
        )
        self.artefacts = s3.Bucket(
            self,
            "Artefacts",
            encryption=s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(7),
                    noncurrent_version_expiration=cdk.Duration.days(30),
                ),
                # A job drops its older checkpoints as it goes, and each is as large as the model's training state.
                s3.LifecycleRule(prefix="jobs/", noncurrent_version_expiration=cdk.Duration.days(1)),
                # SageMaker reads a question and writes its answer within seven hours, and whoever looks takes it; what
                # lies there after a week is what nobody looked for, or came of a film that was deleted.
                *(
                    s3.LifecycleRule(
                        prefix=f"{prefix}/",
                        expiration=cdk.Duration.days(7),
                        noncurrent_version_expiration=cdk.Duration.days(1),
                    )
                    for prefix in (names.QUESTIONS, names.ANSWERS)
                ),
            ],
            server_access_logs_bucket=self.logs,
            server_access_logs_prefix="artefacts/",
            removal_policy=removal,
        )
        self.records = dynamodb.Table(
            self,
            "Records",
            partition_key=dynamodb.Attribute(name="collection", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
            time_to_live_attribute="expires",
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self.key,
            deletion_protection=kept,
            removal_policy=removal,
        )
        self.vectors = s3vectors.CfnVectorBucket(
            self, "Vectors", encryption_configuration={"sseType": "aws:kms", "kmsKeyArn": self.key.key_arn}
        )
        self.vectors.apply_removal_policy(removal)
        self._let_index()
        groups = f"arn:{cdk.Aws.PARTITION}:logs:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:log-group:*"
        self.job_log = self.log_group("JobLog", names.log_group(stage, "training"), config)
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{cdk.Aws.REGION}.{cdk.Aws.URL_SUFFIX}")],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey*",
                    "kms:ReEncrypt*",
                ],
                resources=["*"],  # a key's policy speaks of the key alone
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}},
            )
        )

    def _let_index(self) -> None:
        """S3 Vectors sorts what was put behind the scenes, under the key."""
        within = f"arn:{cdk.Aws.PARTITION}:s3vectors:{cdk.Aws.REGION}:{cdk.Aws.ACCOUNT_ID}:bucket/*"
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("indexing.s3vectors.amazonaws.com")],
                actions=["kms:Decrypt"],
                resources=["*"],  # a key's policy speaks of the key alone
                conditions={
                    "StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID},
                    "ArnLike": {"aws:SourceArn": within},
                },
            )
        )

    def log_group(
        self, id: str, name: str | None, config: TrainingConfig, *, scope: Construct | None = None
    ) -> logs.LogGroup:
        """A log group under this storage's key that forgets after `log_days`; in another stack, where `scope` is."""
        group = logs.LogGroup(
            scope or self,
            id,
            log_group_name=name,
            encryption_key=self.key,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        group.node.default_child.retention_in_days = config.log_days  # the L2 knows names of periods only
        return group

    def use_of_key(self) -> iam.PolicyStatement:
        """What a principal needs of the key to read and write what lies under it."""
        return iam.PolicyStatement(
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
            resources=[self.key.key_arn],
        )
