"""How a stack's removal is followed, over answers that CloudFormation gives."""

from __future__ import annotations

import datetime
import shlex
from typing import Any

import boto3
import jmespath
import pytest
from botocore.stub import Stubber

from genai_stack import names
from genai_stack.aws.removal.kept import TRIES, Keeping, Kept
from genai_stack.aws.removal.stacks import Resource, Stack, Stacks
from genai_stack.errors import Conflict, GenAIStackError

ARN = "arn:aws:cloudformation:us-east-1:123456789012:stack/GenaiStack-Training-dev/1"
STACK = Stack("GenaiStack-Training-dev", ARN, "training", "CREATE_COMPLETE", "dev")
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Answers:
    """CloudFormation's, in the order in which they are given; nothing else may be asked."""

    def __init__(self) -> None:
        self.client = _client("cloudformation")
        self.stub = Stubber(self.client)
        self.paused = 0
        self.told: list[tuple[str, int, int]] = []

    def resources(self, *ids: str) -> None:
        summary = [
            {
                "LogicalResourceId": id,
                "PhysicalResourceId": id.lower(),
                "ResourceType": "AWS::S3::Bucket",
                "ResourceStatus": "CREATE_COMPLETE",
                "LastUpdatedTimestamp": WHEN,
            }
            for id in ids
        ]
        self.stub.add_response("list_stack_resources", {"StackResourceSummaries": summary})
        if not ids:
            return
        self.stub.add_response(
            "get_template", {"TemplateBody": '{"Resources": {"A": {"DeletionPolicy": "Retain"}}}'}
        )

    def events(self, *events: tuple[str, str, str]) -> None:
        """Newest last: id, status and reason of a resource."""
        made = [
            {
                "StackId": ARN,
                "StackName": STACK.name,
                "EventId": f"{number}",
                "LogicalResourceId": id,
                "PhysicalResourceId": id.lower(),
                "ResourceType": "AWS::S3::Bucket",
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
                "Timestamp": WHEN,
            }
            for number, (id, status, reason) in enumerate(events)
        ]
        self.stub.add_response("describe_stack_events", {"StackEvents": made[::-1]})

    def status(self, status: str, *, stage: str = "dev") -> None:
        stack: dict[str, Any] = {
            "StackName": STACK.name,
            "StackId": ARN,
            "StackStatus": status,
            "CreationTime": WHEN,
            "Tags": [{"Key": names.STAGE_TAG, "Value": stage}] if stage else [],
        }
        self.stub.add_response("describe_stacks", {"Stacks": [stack]})

    def stacks(self) -> Stacks:
        self.stub.activate()
        return Stacks("dev", cloudformation=self.client, pause=self._pause)

    def tell(self, step: str, done: int, total: int) -> None:
        self.told.append((step, done, total))

    def _pause(self, seconds: float) -> None:
        self.paused += 1


CREATED = ("A", "CREATE_COMPLETE", "")
STARTED = (STACK.name, "DELETE_IN_PROGRESS", "User Initiated")


def test_a_removal_is_followed_to_its_end() -> None:
    answers = Answers()
    answers.resources("A", "B")
    answers.events(CREATED)
    answers.status("CREATE_COMPLETE")
    answers.stub.add_response("delete_stack", {}, {"StackName": ARN})
    answers.status("DELETE_IN_PROGRESS")
    answers.events(CREATED, STARTED, ("B", "DELETE_COMPLETE", ""))
    answers.status("DELETE_COMPLETE", stage="")
    answers.stacks().delete(STACK, answers.tell)
    answers.stub.assert_no_pending_responses()
    assert answers.told == [(STACK.name, 0, 2), (STACK.name, 1, 2), (STACK.name, 2, 2)]
    assert answers.paused == 1


def test_what_doesnt_go_is_named_with_its_reason() -> None:
    """A failure of the time before is none of this one's, also while this one has only begun."""
    answers = Answers()
    answers.resources("A", "B")
    before = (CREATED, ("A", "DELETE_FAILED", "yesterday"), (STACK.name, "DELETE_FAILED", "A"))
    answers.events(*before)
    answers.status("DELETE_FAILED")
    answers.stub.add_response("delete_stack", {}, {"StackName": ARN})
    answers.status("DELETE_FAILED")
    answers.events(*before)
    answers.status("DELETE_FAILED")
    answers.events(*before, STARTED)
    answers.status("DELETE_FAILED")
    answers.events(
        *before, STARTED, ("B", "DELETE_FAILED", "The bucket is not empty"), (STACK.name, "DELETE_FAILED", "B")
    )
    failed = STACK._replace(status="DELETE_FAILED")
    with pytest.raises(
        GenAIStackError, match=r"B \(AWS::S3::Bucket, b\): The bucket is not empty; mend that"
    ) as raised:
        answers.stacks().delete(failed, answers.tell)
    assert "yesterday" not in raised.value.message
    answers.stub.assert_no_pending_responses()


def test_one_that_changes_is_waited_for_by_nobody_and_one_that_goes_is_only_followed() -> None:
    answers = Answers()
    answers.resources("A")
    answers.events(CREATED)
    answers.status("UPDATE_IN_PROGRESS")
    with pytest.raises(Conflict, match="is UPDATE_IN_PROGRESS; wait"):
        answers.stacks().delete(STACK, lambda *_: None)
    answers = Answers()
    answers.resources("A")
    answers.events(CREATED, STARTED)
    answers.status("DELETE_IN_PROGRESS")
    answers.status("DELETE_COMPLETE")
    answers.stacks().delete(STACK._replace(status="DELETE_IN_PROGRESS"), answers.tell)
    answers.stub.assert_no_pending_responses()


def test_a_removal_that_failed_while_somebody_thought_it_over_is_begun_again() -> None:
    """The stack was going when it was looked for; nobody would ever see it end."""
    answers = Answers()
    answers.resources("A")
    answers.events(CREATED, STARTED, (STACK.name, "DELETE_FAILED", "A"))
    answers.status("DELETE_FAILED")
    answers.stub.add_response("delete_stack", {}, {"StackName": ARN})
    answers.status("DELETE_COMPLETE")
    answers.stacks().delete(STACK._replace(status="DELETE_IN_PROGRESS"), answers.tell)
    answers.stub.assert_no_pending_responses()


def test_a_stack_that_nobody_has_carried_out_goes() -> None:
    answers = Answers()
    answers.resources()
    answers.events((STACK.name, "REVIEW_IN_PROGRESS", ""))
    answers.status("REVIEW_IN_PROGRESS")
    answers.stub.add_response("delete_stack", {}, {"StackName": ARN})
    answers.status("DELETE_COMPLETE")
    answers.stacks().delete(STACK._replace(status="REVIEW_IN_PROGRESS"), answers.tell)
    answers.stub.assert_no_pending_responses()


@pytest.mark.parametrize(("stage", "found"), [("dev", 1), ("", 0), ("prod", 0)])
def test_one_that_is_gone_and_isnt_the_stage_s_is_none_of_it(stage: str, found: int) -> None:
    """It can't be given the tag any more, and CloudFormation knows of it for 90 days."""
    answers = Answers()
    summary = {
        "StackName": STACK.name,
        "StackId": ARN,
        "StackStatus": "DELETE_COMPLETE",
        "CreationTime": WHEN,
    }
    answers.stub.add_response("list_stacks", {"StackSummaries": [summary]})
    answers.status("DELETE_COMPLETE", stage=stage)
    assert len(answers.stacks().gone()) == found


def test_what_stays_is_told_by_the_template() -> None:
    answers = Answers()
    answers.resources("A", "B")
    found = answers.stacks().resources(STACK)
    assert [(one.id, one.name, one.retained) for one in found] == [("A", "a", True), ("B", "b", False)]


def test_another_stage_s_stack_is_refused() -> None:
    answers = Answers()
    answers.status("CREATE_COMPLETE", stage="prod")
    with pytest.raises(Conflict, match="no tag genai-stack:stage=dev"):
        answers.stacks().there()


def _keeping(service: str, operation: str, code: str) -> Keeping:
    """Where `operation` is refused."""

    client = _client(service)
    stub = Stubber(client)
    stub.add_client_error(operation, code, "no")
    stub.activate()
    return Keeping(lambda name: client if name == service else _client(name))


def _client(service: str) -> Any:
    return boto3.client(service, "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


def test_nothing_is_in_what_isnt_there() -> None:
    """A stack that couldn't be deleted still lists the buckets that it has deleted by then."""
    assert not _keeping("s3", "list_object_versions", "NoSuchBucket").holds("gone")
    assert not _keeping("dynamodb", "scan", "ResourceNotFoundException").records("gone")


@pytest.mark.parametrize(
    ("operation", "action"),
    [("list_object_versions", "s3:ListBucketVersions"), ("head_bucket", "s3:ListBucket")],
)
def test_a_right_that_is_missing_is_named_as_iam_names_it(operation: str, action: str) -> None:
    keeping = _keeping("s3", operation, "403")
    bucket = Resource("B", "AWS::S3::Bucket", "b", True, {})
    with pytest.raises(GenAIStackError, match=f"may not {action} on b"):
        keeping.of([bucket]) if operation == "head_bucket" else keeping.holds("b")


def test_the_commands_for_a_bucket_take_versions_and_markers() -> None:
    """A shell takes no argument as long as a thousand keys may be."""
    s3 = _client("s3")
    stub = Stubber(s3)
    stub.add_response("head_bucket", {})
    stub.activate()
    keeping = Keeping(lambda name: s3 if name == "s3" else _client(name))
    (kept,) = keeping.of([Resource("B", "AWS::S3::Bucket", "b", True, {})])
    words = shlex.split(kept.commands[0], comments=True)
    listing, deleting = words[: words.index("|")], words[words.index("|") + 1 :]
    assert deleting[-2:] == ["--delete", "file:///dev/stdin"]
    query = listing[listing.index("--query") + 1]
    one = {"Key": "k", "VersionId": "v", "Size": 1}
    assert jmespath.search(query, {"Versions": None, "DeleteMarkers": [one]}) == {
        "Objects": [{"Key": "k", "VersionId": "v"}]
    }
    assert len(jmespath.search(query, {"Versions": [one], "DeleteMarkers": [one]})["Objects"]) == 2


@pytest.mark.parametrize("late", [1, 3])
def test_a_log_that_comes_late_doesnt_keep_its_bucket(late: int) -> None:
    s3 = _client("s3")
    stub = Stubber(s3)
    for tried in range(1, TRIES + 1):
        stub.add_response("list_object_versions", {"Versions": [{"Key": "log", "VersionId": "null"}]})
        stub.add_response("delete_objects", {})
        stub.add_response("list_multipart_uploads", {})
        if tried > late:
            stub.add_response("delete_bucket", {})
            break
        stub.add_client_error("delete_bucket", "BucketNotEmpty", "no")
    stub.activate()
    keeping = Keeping(lambda name: s3 if name == "s3" else _client(name))
    kept = Kept("bucket", "b", "", ())
    if late == TRIES:
        with pytest.raises(GenAIStackError, match="b fills while it is emptied"):
            keeping.remove(kept)
    else:
        keeping.remove(kept)
    stub.assert_no_pending_responses()
