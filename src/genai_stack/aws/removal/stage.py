"""A whole stage: what there is of it, and its removal in the order in which it can go."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from genai_stack.errors import GenAIStackError, NotDeployedError
from genai_stack.ports import FINAL_STATES, Services
from genai_stack.registry import RecordedModels

from .. import published, session
from ..faults import translated
from ..records import DynamoRecords
from .beside import Beside
from .kept import TRIES, Keeping, Kept
from .stacks import Resource, Stack, Stacks, Tell

BUCKET, VECTORS, TABLE = "AWS::S3::Bucket", "AWS::S3Vectors::VectorBucket", "AWS::DynamoDB::Table"
PAGE = 100


class Plan(msgspec.Struct, frozen=True):
    """What `remove` would do: delete `stacks`, end `jobs`, take off the components of `models`, and with data remove
    those of `keeps` that are the stage's own. `emptied` are buckets that go with their stack, once they are empty, and
    `tables` go with it as they are."""

    stage: str
    account: str
    region: str
    stacks: tuple[str, ...]
    jobs: tuple[str, ...]
    models: tuple[str, ...]
    emptied: tuple[str, ...]
    tables: tuple[str, ...]
    keeps: tuple[Kept, ...]

    @property
    def nothing(self) -> bool:
        return not (self.stacks or self.keeps)


class StageRemoval:
    """Safe to begin again after any failure: each step looks at what is left. `services` puts together the ports of the
    stage, and raises NotDeployedError where its training stack has published nothing."""

    def __init__(
        self,
        stage: str,
        services: Callable[[str], Services],
        *,
        make: Callable[[str], Any] = session.client,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stage, self._make = stage, make
        self._stacks = Stacks(stage, cloudformation=make("cloudformation"), pause=pause)
        self._keeping, self._beside = Keeping(make), Beside(stage, make=make, pause=pause)
        self._there = self._stacks.there()
        self._resources = {one.arn: self._stacks.resources(one) for one in (*self._there, *self._stacks.gone())}
        try:
            self._services: Services | None = services(stage)
        except NotDeployedError:
            self._services = None
        self._hosted = published.hosted_models(stage)
        self._models = self._known_models()

    def plan(self) -> Plan:
        """Raises GenAIStackError when AWS refuses to tell."""
        with translated("sts", "these credentials"):
            sts = self._make("sts")
            account = sts.get_caller_identity()["Account"]
        return Plan(
            self._stage,
            account,
            sts.meta.region_name,
            tuple(one.name for one in self._there),
            tuple(self._unfinished()),
            tuple(sorted(self._hosted)),
            (*self._going(BUCKET), *self._going(VECTORS)),
            tuple(self._going(TABLE)),
            tuple(self.kept()),
        )

    def refuse_data(self) -> None:
        """Raises GenAIStackError where a bucket that goes with its stack holds anything, which would stop halfway, or
        a table, which wouldn't stop."""
        full = [name for name in self._going(BUCKET) if self._keeping.holds(name)]
        full += [name for name in self._going(VECTORS) if self._keeping.indexes(name)]
        full += [name for name in self._going(TABLE) if self._keeping.records(name)]
        if full:
            raise GenAIStackError(
                f"{', '.join(full)} hold data, and this stage was deployed with retain_data = false: give --with-data "
                "to delete it, or deploy with retain_data = true to keep it; nothing was touched"
            )

    def kept(self) -> list[Kept]:
        """What is there and stays, or would stay, when the stacks are gone."""
        known = self._known()
        return [*self._keeping.logs(self._beside.logs(self._models, known)), *self._keeping.of(known)]

    def remove(self, tell: Tell, *, with_data: bool = False) -> list[str]:
        """Names what it removed. Raises GenAIStackError where something doesn't go, and says what and why."""
        removed: list[str] = []
        for stack in self._there:
            if stack.layer == "hosting":
                self._end_jobs(tell)
                self._beside.remove_components(self._hosted, tell)
                self._beside.remove_versions(self._models, self._groups(stack), tell)
            elif stack.layer == "training":
                self._end_jobs(tell)
            self._delete(stack, tell, with_data=with_data)
            removed.append(stack.name)
        self._beside.remove_definitions(self._known())
        if with_data:
            ours = [one for one in self.kept() if one.ours]
            for done, kept in enumerate(ours):
                tell("data", done, len(ours))
                self._keeping.remove(kept)
                removed.append(f"{kept.kind} {kept.name}")
            if ours:
                tell("data", len(ours), len(ours))
        return removed

    def _delete(self, stack: Stack, tell: Tell, *, with_data: bool) -> None:
        resources = self._resources[stack.arn] if with_data else []
        buckets, vectors = self._deleted(resources, BUCKET), self._deleted(resources, VECTORS)
        for tried in range(1, TRIES + 1):
            for bucket in buckets:
                self._keeping.empty(bucket)
            for bucket in vectors:
                self._keeping.drop_indexes(bucket)
            try:
                self._stacks.delete(stack, tell)
                return
            except GenAIStackError as error:
                if tried == TRIES or not any(bucket in error.message for bucket in (*buckets, *vectors)):
                    raise
            (stack,) = (one for one in self._stacks.there() if one.arn == stack.arn)

    def _known(self) -> list[Resource]:
        return [one for resources in self._resources.values() for one in resources]

    def _going(self, type: str) -> list[str]:
        return [name for stack in self._there for name in self._deleted(self._resources[stack.arn], type)]

    def _deleted(self, resources: Sequence[Resource], type: str) -> list[str]:
        """Those of a type that their stack deletes."""
        return [one.name for one in resources if one.type == type and not one.retained]

    def _groups(self, stack: Stack) -> list[str]:
        type = "AWS::SageMaker::ModelPackageGroup"
        declared = (one for one in self._resources[stack.arn] if one.type == type)
        return [one.properties["ModelPackageGroupName"] for one in declared]

    def _unfinished(self) -> list[str]:
        found: list[str] = []
        after: str | None = None
        while self._services is not None:
            page = self._services.jobs.list(after=after, limit=PAGE)
            found += [job.id for job in page if job.state not in FINAL_STATES]
            if len(page) < PAGE:
                break
            after = page[-1].id
        return found

    def _end_jobs(self, tell: Tell) -> None:
        """Once the API is gone nobody submits another."""
        ids = self._unfinished()
        for done, id in enumerate(ids):
            tell("jobs", done, len(ids))
            if self._services is not None:
                self._services.jobs.cancel(id)
        if ids:
            tell("jobs", len(ids), len(ids))

    def _known_models(self) -> list[str]:
        """By the records, be it those of a stage whose stacks are gone, and by what hosting has published."""
        found = set(self._hosted)
        if self._services is not None:
            found |= {version.name for version in self._services.registry.list()}
            return sorted(found)
        for table in {one.name for one in self._known() if one.type == TABLE and one.retained}:
            try:
                found |= {version.name for version in RecordedModels(DynamoRecords(table)).list()}
            except NotDeployedError:
                continue
        return sorted(found)
