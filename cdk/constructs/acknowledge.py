"""Findings of cdk-nag that stand, each with its reason."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import IConstruct


def acknowledge(scope: IConstruct, rule: str, finding: str | None, reason: str) -> None:
    """Lets one finding of an AwsSolutions rule stand below `scope`, and none beside it."""
    id = f"AwsSolutions-{rule}[{finding}]" if finding else f"AwsSolutions-{rule}"
    cdk.Validations.of(scope).acknowledge(cdk.Acknowledgment(id=id, reason=reason))


def acknowledge_objects(scope: IConstruct, bucket: s3.Bucket, pattern: str, reason: str) -> None:
    """Lets rights over the objects of `bucket` that match `pattern` stand, as cdk-nag prints their ARN."""
    home = cdk.Stack.of(bucket)
    if cdk.Stack.of(scope) is home:
        name = f"<{home.get_logical_id(bucket.node.default_child)}.Arn>"
    else:
        name = imported(home, bucket.bucket_arn)
    acknowledge(scope, "IAM5", f"Resource::{name}/{pattern}", reason)


def imported(home: cdk.Stack, value: str) -> str:
    """A value of the stack `home` as cdk-nag prints it in another one."""
    return str(home.resolve(home.export_value(value))["Fn::ImportValue"])
