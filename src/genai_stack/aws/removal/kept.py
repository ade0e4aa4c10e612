"""What outlives a stage's stacks: how it is found, how it would be removed by hand, and how it is removed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from genai_stack.errors import GenAIStackError

from .. import session
from ..faults import code_of, translated
from .stacks import Resource

KEY_DAYS = 7
"""A key that is to be deleted waits so long, and can be brought back until then; AWS takes no less."""
PUSH = "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
BATCH = 1000
"""Objects of one DeleteObjects."""
TRIES = 3
"""At a bucket, or at a stack whose buckets were emptied: logs are still delivered for some time after what they tell
of."""


class Kept(msgspec.Struct, frozen=True):
    """`commands` remove it by hand. `ours`: `--with-data` removes it."""

    kind: str
    name: str
    note: str
    commands: tuple[str, ...]
    ours: bool = True


class Keeping:
    """Raises GenAIStackError when AWS refuses."""

    def __init__(self, make: Callable[[str], Any] = session.client) -> None:
        self._s3, self._dynamodb, self._kms = make("s3"), make("dynamodb"), make("kms")
        self._logs, self._iam, self._vectors = make("logs"), make("iam"), make("s3vectors")
        self._remove = {
            "bucket": self._remove_bucket,
            "vector bucket": self._remove_vectors,
            "table": self._remove_table,
            "key": self._remove_key,
            "log group": self._remove_log,
        }

    def of(self, resources: Iterable[Resource]) -> list[Kept]:
        """What is still there of the retained among `resources`, in the order in which it can go: a key last."""
        finds = {
            "AWS::S3::Bucket": self._bucket,
            "AWS::S3Vectors::VectorBucket": self._vector_bucket,
            "AWS::DynamoDB::Table": self._table,
            "AWS::KMS::Key": self._key,
            "AWS::IAM::Role": self._role,
        }
        retained = {(one.type, one.name): one for one in resources if one.retained}
        found = [finds[type](name) for type, find in finds.items() for at, name in retained if at == type]
        rest = [_other(one) for one in retained.values() if one.type not in finds and one.type not in UNNAMED]
        return [one for one in (*found, *rest) if one is not None]

    def logs(self, groups: Iterable[str]) -> list[Kept]:
        """Those of the log groups that there are."""
        return [one for name in sorted(set(groups)) if (one := self._log(name))]

    def holds(self, bucket: str) -> bool:
        """Whether there is anything in it, older versions included. Nothing is in a bucket that isn't there."""

        def ask() -> bool:
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket)
            return any(page.get("Versions") or page.get("DeleteMarkers") for page in pages)

        return bool(self._there("s3", bucket, ask, "404", "NoSuchBucket"))

    def records(self, table: str) -> bool:
        """Whether there is a record in it; its own count is hours old. None is in a table that isn't there."""
        found = self._there(
            "dynamodb",
            table,
            lambda: self._dynamodb.scan(TableName=table, Limit=1),
            "ResourceNotFoundException",
        )
        return bool(found and found["Count"])

    def empty(self, bucket: str) -> int:
        """Deletes every version of every object, and uploads under way; how many there were. Nothing is there in a
        bucket that isn't."""
        count = 0
        with translated("s3", bucket):
            try:
                for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                    found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                    if not found:
                        continue
                    objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
                    for start in range(0, len(objects), BATCH):
                        self._delete(bucket, objects[start : start + BATCH])
                    count += len(objects)
                for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
                    for one in page.get("Uploads", ()):
                        self._s3.abort_multipart_upload(Bucket=bucket, Key=one["Key"], UploadId=one["UploadId"])
            except self._s3.exceptions.ClientError as error:
                if code_of(error) not in ("NoSuchBucket", "404"):
                    raise
        return count

    def indexes(self, vector_bucket: str) -> list[str]:
        """Of a vector bucket, by its name or ARN. None is in one that isn't there."""

        def ask() -> list[str]:
            pages = self._vectors.get_paginator("list_indexes").paginate(vectorBucketName=_name(vector_bucket))
            return [one["indexName"] for page in pages for one in page["indexes"]]

        return self._there("s3vectors", vector_bucket, ask, "NotFoundException") or []

    def drop_indexes(self, vector_bucket: str) -> None:
        """All that it holds."""
        for index in self.indexes(vector_bucket):
            about = {"vectorBucketName": _name(vector_bucket), "indexName": index}
            self._there("s3vectors", index, partial(self._vectors.delete_index, **about), "NotFoundException")

    def remove(self, kept: Kept) -> None:
        """Nothing happens where it is gone by now."""
        self._remove[kept.kind](kept.name)

    def _delete(self, bucket: str, objects: list[dict[str, Any]]) -> None:
        reply = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
        if errors := reply.get("Errors"):
            from botocore.exceptions import ClientError

            told = {
                "Code": errors[0].get("Code", ""),
                "Message": f"{errors[0].get('Key')}: {errors[0].get('Message')}",
            }
            raise ClientError({"Error": told}, "DeleteObjectVersion")

    def _there(self, service: str, name: str, ask: Callable[[], Any], *absent: str) -> Any:
        """The answer to a question about `name`; None where it isn't there."""
        from botocore.exceptions import ClientError

        with translated(service, name):
            try:
                return ask()
            except ClientError as error:
                if code_of(error) in absent:
                    return None
                raise

    def _bucket(self, name: str) -> Kept | None:
        if self._there("s3", name, lambda: self._s3.head_bucket(Bucket=name), "404", "NoSuchBucket") is None:
            return None
        versions = f"aws s3api list-object-versions --bucket {name} --no-paginate --output json"
        query = "--query '{Objects: [Versions, DeleteMarkers][] | [].{Key: Key, VersionId: VersionId}}'"
        delete = (
            f"aws s3api delete-objects --bucket {name} --delete file:///dev/stdin"  # too long for an argument
        )
        return Kept(
            "bucket",
            name,
            "objects and their versions",
            (
                f"{versions} {query} | {delete}  # until it is empty",
                f"aws s3 rb s3://{name}",
            ),
        )

    def _vector_bucket(self, name: str) -> Kept | None:
        name = _name(name)
        found = self._there(
            "s3vectors",
            name,
            lambda: self._vectors.get_vector_bucket(vectorBucketName=name),
            "NotFoundException",
        )
        if found is None:
            return None
        listing = (
            f"aws s3vectors list-indexes --vector-bucket-name {name} --query indexes[].indexName --output text"
        )
        return Kept(
            "vector bucket",
            name,
            "the vectors of all stores",
            (
                f"{listing} | xargs -r -n 1 aws s3vectors delete-index --vector-bucket-name {name} --index-name",
                f"aws s3vectors delete-vector-bucket --vector-bucket-name {name}",
            ),
        )

    def _table(self, name: str) -> Kept | None:
        found = self._there(
            "dynamodb", name, lambda: self._dynamodb.describe_table(TableName=name), "ResourceNotFoundException"
        )
        if found is None or found["Table"]["TableStatus"] == "DELETING":
            return None
        return Kept(
            "table",
            name,
            f"about {found['Table'].get('ItemCount', 0)} records, keys of the API among them",
            (
                f"aws dynamodb update-table --table-name {name} --no-deletion-protection-enabled",
                f"aws dynamodb delete-table --table-name {name}",
            ),
        )

    def _key(self, id: str) -> Kept | None:
        found = self._there("kms", id, lambda: self._kms.describe_key(KeyId=id), "NotFoundException")
        if found is None or found["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        command = f"aws kms schedule-key-deletion --key-id {id} --pending-window-in-days {KEY_DAYS}"
        return Kept("key", id, "what it encrypted can't be read without it; a dollar a month", (command,))

    def _role(self, name: str) -> Kept | None:
        if self._there("iam", name, lambda: self._iam.get_role(RoleName=name), "NoSuchEntity") is None:
            return None
        return Kept(
            "role",
            name,
            "API Gateway writes logs as it: a setting of the account and region, which other APIs may use",
            (
                "aws apigateway update-account --patch-operations op=remove,path=/cloudwatchRoleArn",
                f"aws iam detach-role-policy --role-name {name} --policy-arn {PUSH}",
                f"aws iam delete-role --role-name {name}",
            ),
            ours=False,
        )

    def _log(self, name: str) -> Kept | None:
        with translated("logs", name):
            groups = self._logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
        if not any(group["logGroupName"] == name for group in groups):
            return None
        command = f"aws logs delete-log-group --log-group-name {name}"
        return Kept("log group", name, "SageMaker made it, and keeps it for ever", (command,))

    def _remove_bucket(self, name: str) -> None:
        def delete() -> bool:
            """Whether it was empty."""
            try:
                self._s3.delete_bucket(Bucket=name)
            except self._s3.exceptions.ClientError as error:
                if code_of(error) == "BucketNotEmpty":
                    return False
                if code_of(error) not in ("NoSuchBucket", "404"):
                    raise
            return True

        for _ in range(TRIES):
            self.empty(name)
            with translated("s3", name):
                if delete():
                    return
        raise GenAIStackError(
            f"{name} fills while it is emptied; see who writes into it, then run destroy again"
        )

    def _remove_vectors(self, name: str) -> None:
        self.drop_indexes(name)
        self._there(
            "s3vectors",
            name,
            lambda: self._vectors.delete_vector_bucket(vectorBucketName=name),
            "NotFoundException",
        )

    def _remove_table(self, name: str) -> None:
        def remove() -> None:
            about = self._dynamodb.describe_table(TableName=name)["Table"]
            if about.get("DeletionProtectionEnabled"):
                self._dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
                self._dynamodb.get_waiter("table_exists").wait(TableName=name)
            self._dynamodb.delete_table(TableName=name)

        self._there("dynamodb", name, remove, "ResourceNotFoundException")

    def _remove_key(self, id: str) -> None:
        self._there(
            "kms",
            id,
            lambda: self._kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=KEY_DAYS),
            *("NotFoundException", "KMSInvalidStateException"),
        )

    def _remove_log(self, name: str) -> None:
        self._there(
            "logs",
            name,
            lambda: self._logs.delete_log_group(logGroupName=name),
            "ResourceNotFoundException",
        )


UNNAMED = frozenset(("AWS::ApiGateway::Account",))
"""Settings, which are told of with what they point to."""


def _name(vector_bucket: str) -> str:
    """Of a vector bucket by its name or ARN; CloudFormation knows it by the latter."""
    return vector_bucket.rpartition("/")[2]


def _other(resource: Resource) -> Kept:
    return Kept(resource.type, resource.name, "its stack leaves it", (), ours=False)
