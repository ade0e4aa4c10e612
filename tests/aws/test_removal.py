"""How a stack's removal is followed, over answers that CloudFormation gives."""

from __future__ import annotations

import datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from genai_stack import names
from genai_stack.aws.removal.stacks import Stack, Stacks
from genai_stack.errors import Conflict, GenAIStackError

ARN = "arn:aws:cloudformation:us-east-1:123456789012:stack/GenaiStack-Training-dev/1"
STACK = Stack("GenaiStack-Training-dev", ARN, "training", "CREATE_COMPLETE")
WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Answers:
    """CloudFormation's, in the order in which they are given; nothing else may be asked."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "cloudformation", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
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
            "Tags": [{"Key": names.STAGE_TAG, "Value": stage}],
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
    answers.stub.add_response("delete_stack", {}, {"StackName": ARN})
    answers.status("DELETE_IN_PROGRESS")
    answers.events(CREATED, STARTED, ("B", "DELETE_COMPLETE", ""))
    answers.status("DELETE_COMPLETE")
    answers.stacks().delete(STACK, answers.tell)
    answers.stub.assert_no_pending_responses()
    assert answers.told == [(STACK.name, 0, 2), (STACK.name, 1, 2), (STACK.name, 2, 2)]
    assert answers.paused == 1


def test_what_doesnt_go_is_named_with_its_reason() -> None:
    """A failure of the time before is none of this one's."""
    answers = Answers()
    answers.resources("A", "B")
    before = (CREATED, ("A", "DELETE_FAILED", "yesterday"))
    answers.events(*before)
    answers.stub.add_response("delete_stack", {}, {"StackName": ARN})
    answers.status("DELETE_FAILED")
    answers.events(*before)
    answers.status("DELETE_FAILED")
    answers.events(
        *before, STARTED, ("B", "DELETE_FAILED", "The bucket is not empty"), (STACK.name, "DELETE_FAILED", "B")
    )
    failed = Stack(STACK.name, ARN, "training", "DELETE_FAILED")
    with pytest.raises(
        GenAIStackError, match=r"B \(AWS::S3::Bucket, b\): The bucket is not empty; mend that"
    ) as raised:
        answers.stacks().delete(failed, answers.tell)
    assert "yesterday" not in raised.value.message
    answers.stub.assert_no_pending_responses()


def test_one_that_changes_is_waited_for_by_nobody_and_one_that_goes_is_only_followed() -> None:
    with pytest.raises(Conflict, match="is UPDATE_IN_PROGRESS; wait"):
        Answers().stacks().delete(STACK._replace(status="UPDATE_IN_PROGRESS"), lambda *_: None)
    answers = Answers()
    answers.resources("A")
    answers.events(CREATED, STARTED)
    answers.status("DELETE_COMPLETE")
    answers.stacks().delete(STACK._replace(status="DELETE_IN_PROGRESS"), answers.tell)
    answers.stub.assert_no_pending_responses()


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
