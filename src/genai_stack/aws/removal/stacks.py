"""A stage's CloudFormation stacks: which there are, what they are made of, and how they go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from genai_stack import names
from genai_stack.errors import Conflict, GenAIStackError

from .. import session
from ..faults import code_of, translated

ORDER: tuple[names.Layer, ...] = ("service", "hosting", "training")
"""Each stands on the next."""
POLL_SECONDS = 5.0
DELETABLE = ("DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS")
"""What is in progress and no obstacle: the latter has a change set that nobody has carried out."""
Tell = Callable[[str, int, int], None]
"""Hears of a step's name, how much of it is done, and how much there is."""


class Resource(NamedTuple):
    """`retained`: it stays when its stack goes. `properties` are the template's."""

    id: str
    type: str
    name: str
    """Physical: a name, an id or an ARN."""
    retained: bool
    properties: dict[str, Any]


class Stack(NamedTuple):
    name: str
    arn: str
    layer: names.Layer
    status: str
    stage: str
    """By its tag; nothing where it has none."""

    @property
    def gone(self) -> bool:
        return self.status == "DELETE_COMPLETE"


class Stacks:
    """Raises GenAIStackError when CloudFormation refuses."""

    def __init__(
        self,
        stage: str,
        *,
        cloudformation: Any = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stage, self._pause = stage, pause
        self._client = cloudformation or session.client("cloudformation")

    def there(self) -> list[Stack]:
        """The stacks of the stage, in the order in which they can go. Raises Conflict where one by such a name isn't
        the stage's."""
        stacks = []
        for layer in ORDER:
            one = self._described(names.deployed_stack(self._stage, layer), layer)
            if one is None:
                continue
            if one.stage != self._stage:
                raise Conflict(
                    f"{one.name} has no tag {names.STAGE_TAG}={self._stage}: it isn't this stage's, and nothing "
                    "was touched; remove it by hand, or give it the tag if it is"
                )
            stacks.append(one)
        return stacks

    def gone(self) -> list[Stack]:
        """Those deleted within the last 90 days, which is how long CloudFormation knows of them."""
        with translated("cloudformation", "the account's deleted stacks"):
            pages = self._client.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
            known = [one for page in pages for one in page["StackSummaries"]]
        layers = {names.deployed_stack(self._stage, layer): layer for layer in ORDER}
        found = [(one["StackId"], layers[one["StackName"]]) for one in known if one["StackName"] in layers]
        stacks = (self._described(arn, layer) for arn, layer in found)
        return [one for one in stacks if one is not None and one.stage == self._stage]

    def resources(self, stack: Stack) -> list[Resource]:
        with translated("cloudformation", stack.name):
            pages = self._client.get_paginator("list_stack_resources").paginate(StackName=stack.arn)
            listed = [one for page in pages for one in page["StackResourceSummaries"]]
            if not listed:  # nothing was made, and there may be no template to ask for
                return []
            template = self._client.get_template(StackName=stack.arn)["TemplateBody"]
        declared = template["Resources"]
        return [
            Resource(
                one["LogicalResourceId"],
                one["ResourceType"],
                one.get("PhysicalResourceId", ""),
                declared.get(one["LogicalResourceId"], {}).get("DeletionPolicy", "").startswith("Retain")
                or one["ResourceStatus"] == "DELETE_SKIPPED",
                declared.get(one["LogicalResourceId"], {}).get("Properties", {}),
            )
            for one in listed
            if one.get("PhysicalResourceId")
        ]

    def delete(self, stack: Stack, tell: Tell) -> None:
        """Waits until it is gone. Raises GenAIStackError, with each resource that stays and why, and Conflict while
        something else changes it."""
        total = len(self.resources(stack))
        tell(stack.name, 0, total)
        before = self._newest(stack)
        now = self._described(stack.arn, stack.layer)  # it may have changed since it was looked for
        if now is not None and now.status.endswith("_IN_PROGRESS") and now.status not in DELETABLE:
            raise Conflict(f"{stack.name} is {now.status}; wait until that has ended, then try again")
        if now is not None and not now.gone and now.status != "DELETE_IN_PROGRESS":
            with translated("cloudformation", stack.name):
                self._client.delete_stack(StackName=stack.arn)
        while True:
            now = self._described(stack.arn, stack.layer)
            if now is None or now.gone:
                tell(stack.name, total, total)
                return
            events = list(self._events(stack, before))
            if now.status == "DELETE_FAILED" and _failed(stack, events):
                raise GenAIStackError(_told(stack, events))
            ended = [one for one in events if one["ResourceStatus"] == "DELETE_COMPLETE"]
            tell(stack.name, min(len(ended), total), total)
            self._pause(POLL_SECONDS)

    def _described(self, name: str, layer: names.Layer) -> Stack | None:
        try:
            with translated("cloudformation", name):
                (found,) = self._client.describe_stacks(StackName=name)["Stacks"]
        except GenAIStackError as error:
            if _is_absent(error.__cause__):
                return None
            raise
        tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", ())}
        stage = tags.get(names.STAGE_TAG, "")
        return Stack(found["StackName"], found["StackId"], layer, found["StackStatus"], stage)

    def _events(self, stack: Stack, after: str | None = None) -> Iterator[dict[str, Any]]:
        """Newest first, down to the one with the id `after`."""
        with translated("cloudformation", stack.name):
            for page in self._client.get_paginator("describe_stack_events").paginate(StackName=stack.arn):
                for event in page["StackEvents"]:
                    if event["EventId"] == after:
                        return
                    yield event

    def _newest(self, stack: Stack) -> str | None:
        return next((str(event["EventId"]) for event in self._events(stack)), None)


def _failed(stack: Stack, events: list[dict[str, Any]]) -> bool:
    """Whether it is told that the deletion has failed; a stack's status may be that of the time before."""
    return any(
        one["LogicalResourceId"] == stack.name and one["ResourceStatus"] == "DELETE_FAILED" for one in events
    )


def _told(stack: Stack, events: list[dict[str, Any]]) -> str:
    failed = [
        f"{one['LogicalResourceId']} ({one['ResourceType']}, {one.get('PhysicalResourceId') or 'no name'}): "
        f"{one.get('ResourceStatusReason') or 'no reason was given'}"
        for one in reversed(events)
        if one["ResourceStatus"] == "DELETE_FAILED" and one["LogicalResourceId"] != stack.name
    ]
    why = "; ".join(failed) or "CloudFormation names no resource; look at the stack's events"
    return f"{stack.name} couldn't be deleted: {why}; mend that and run destroy again, it goes on from there"


def _is_absent(error: BaseException | None) -> bool:
    return error is not None and code_of(error) == "ValidationError" and "does not exist" in str(error)
