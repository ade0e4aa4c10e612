"""What stays: encrypted, private, versioned, and kept when the stack goes."""

from __future__ import annotations

import pytest

from genai_stack import names
from tests.cdk.templates import Template, listed, of_type, one, text

BUCKETS = ("StorageArtefacts", "StorageLogs")
KEEPERS = ("S3::Bucket", "S3Vectors::VectorBucket", "KMS::Key", "DynamoDB::Table")


@pytest.mark.parametrize("bucket", BUCKETS)
def test_buckets_are_private(template: Template, bucket: str) -> None:
    properties = one(template, "S3::Bucket", bucket)
    assert properties["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize("bucket", BUCKETS)
def test_buckets_refuse_plain_http_and_old_tls(template: Template, bucket: str) -> None:
    policy = one(template, "S3::BucketPolicy", bucket)
    assert text(policy["Bucket"]) == f"<{bucket}>"
    refusals = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
    conditions = [s["Condition"] for s in refusals]
    assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions
    for statement in refusals:
        assert (statement["Action"], statement["Principal"]) == ("s3:*", {"AWS": "*"})
        assert [text(r) for r in statement["Resource"]] == [f"<{bucket}.Arn>", f"<{bucket}.Arn>/*"]


def test_artefacts_lie_under_our_key_and_keep_their_versions(template: Template) -> None:
    bucket = one(template, "S3::Bucket", "StorageArtefacts")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["BucketKeyEnabled"] is True
    by_default = rule["ServerSideEncryptionByDefault"]
    assert by_default["SSEAlgorithm"] == "aws:kms"
    assert text(by_default["KMSMasterKeyID"]) == "<StorageKey.Arn>"
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert text(bucket["LoggingConfiguration"]["DestinationBucketName"]) == "<StorageLogs>"
    assert bucket["LoggingConfiguration"]["LogFilePrefix"] == "artefacts/"
    everything, jobs, questions, answers = bucket["LifecycleConfiguration"]["Rules"]
    assert everything == {
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
        "Status": "Enabled",
    }
    # Checkpoints that a job dropped aren't paid for a month longer.
    assert jobs == {
        "Prefix": "jobs/",
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        "Status": "Enabled",
    }
    # What models answer through S3 outlasts the hour of the model and the six in its queue, and no more than a week.
    for rule, of in ((questions, names.questions("m")), (answers, names.answers("m"))):
        assert of.startswith(rule["Prefix"])
        assert rule == {
            "Prefix": rule["Prefix"],
            "ExpirationInDays": 7,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "Status": "Enabled",
        }


def test_the_log_bucket_takes_deliveries_of_this_account_alone_and_forgets(template: Template) -> None:
    bucket = one(template, "S3::Bucket", "StorageLogs")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert bucket["LifecycleConfiguration"]["Rules"] == [{"ExpirationInDays": 30, "Status": "Enabled"}]
    policy = one(template, "S3::BucketPolicy", "StorageLogs")
    deliveries = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert len(deliveries) == 3
    for statement in deliveries:
        assert text(statement["Condition"]["StringEquals"]["aws:SourceAccount"]) == "<AWS::AccountId>"
        source = text(statement["Condition"]["ArnLike"]["aws:SourceArn"])
        put = "network" in text(statement["Resource"])
        acl = statement["Condition"]["StringEquals"].get("s3:x-amz-acl")
        assert acl == ("bucket-owner-full-control" if put else None)
        assert source in (
            "<StorageArtefacts.Arn>",
            "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:*",
        )
    assert {
        (statement["Principal"]["Service"], *listed(statement["Action"]), text(statement["Resource"]))
        for statement in deliveries
    } == {
        ("logging.s3.amazonaws.com", "s3:PutObject", "<StorageLogs.Arn>/artefacts/*"),
        (
            "delivery.logs.amazonaws.com",
            "s3:PutObject",
            "<StorageLogs.Arn>/network/AWSLogs/<AWS::AccountId>/*",
        ),
        ("delivery.logs.amazonaws.com", "s3:GetBucketAcl", "s3:ListBucket", "<StorageLogs.Arn>"),
    }


def test_records_are_on_demand_restorable_and_expire(template: Template) -> None:
    table = one(template, "DynamoDB::Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [
        {"AttributeName": "collection", "KeyType": "HASH"},
        {"AttributeName": "id", "KeyType": "RANGE"},
    ]
    assert {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]} == {
        "collection": "S",
        "id": "S",
    }
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    encryption = table["SSESpecification"]
    assert (encryption["SSEEnabled"], encryption["SSEType"]) == (True, "KMS")
    assert text(encryption["KMSMasterKeyId"]) == "<StorageKey.Arn>"
    assert table["DeletionProtectionEnabled"] is True


def test_vectors_lie_under_our_key(template: Template) -> None:
    bucket = one(template, "S3Vectors::VectorBucket")
    told = bucket["EncryptionConfiguration"]
    assert (told["SseType"], text(told["KmsKeyArn"])) == ("aws:kms", "<StorageKey.Arn>")


def test_the_key_turns_and_lets_in_whom_it_must(template: Template) -> None:
    key = one(template, "KMS::Key")
    assert key["EnableKeyRotation"] is True
    root, vectors, logs, topics, events = key["KeyPolicy"]["Statement"]
    assert all(s["Effect"] == "Allow" and s["Resource"] == "*" for s in (root, vectors, logs, topics, events))
    assert root["Action"] == "kms:*"
    assert text(root["Principal"]["AWS"]) == "arn:<AWS::Partition>:iam::<AWS::AccountId>:root"
    assert vectors["Principal"] == {"Service": "indexing.s3vectors.amazonaws.com"}
    assert vectors["Action"] == "kms:Decrypt"
    assert text(vectors["Condition"]["StringEquals"]["aws:SourceAccount"]) == "<AWS::AccountId>"
    within = vectors["Condition"]["ArnLike"]["aws:SourceArn"]
    assert text(within) == "arn:<AWS::Partition>:s3vectors:<AWS::Region>:<AWS::AccountId>:bucket/*"
    assert text(logs["Principal"]["Service"]) == "logs.<AWS::Region>.<AWS::URLSuffix>"
    assert set(logs["Action"]) == {
        *("kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*")
    }
    groups = logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
    assert text(groups) == "arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:log-group:*"
    assert set(topics["Principal"]["Service"]) == {"budgets.amazonaws.com", "cloudwatch.amazonaws.com"}
    assert set(topics["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert text(topics["Condition"]["StringEquals"]["aws:SourceAccount"]) == "<AWS::AccountId>"
    assert events["Principal"] == {"Service": "events.amazonaws.com"}
    assert set(events["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}


def test_every_log_group_is_encrypted_and_forgets(template: Template) -> None:
    groups = of_type(template, "Logs::LogGroup")
    assert len(groups) == 4
    for group in groups.values():
        assert text(group["KmsKeyId"]) == "<StorageKey.Arn>"
        assert group["RetentionInDays"] == 30
    assert one(template, "Logs::LogGroup", "StorageJobLog")["LogGroupName"] == "/genai-stack/dev/training"


def test_data_outlives_the_stack_unless_the_configuration_says_otherwise(
    template: Template, reserved: Template
) -> None:
    for stack, policy in ((template, "Retain"), (reserved, "Delete")):
        kept = [r for r in stack["Resources"].values() if r["Type"].removeprefix("AWS::") in KEEPERS]
        assert len(kept) == 5
        for resource in kept:
            assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == (policy, policy)
    assert one(reserved, "DynamoDB::Table")["DeletionProtectionEnabled"] is False
