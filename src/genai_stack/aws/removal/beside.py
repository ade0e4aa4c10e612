"""What a stage makes at run time, which no template knows: components, models, versions in the model registry,
revisions of job definitions, logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from genai_stack import names
from genai_stack.errors import GenAIStackError
from genai_stack.hosted import HostedModel

from .. import session
from ..components import Components
from ..faults import code_of, translated
from .stacks import Resource, Tell

POLL_SECONDS = 10.0
PATIENCE_SECONDS = 3600.0


class Beside:
    """Raises GenAIStackError when AWS refuses."""

    def __init__(
        self,
        stage: str,
        *,
        make: Callable[[str], Any] = session.client,
        pause: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stage, self._pause, self._now = stage, pause, now
        self._sagemaker, self._batch = make("sagemaker"), make("batch")
        self._components = Components(stage, sagemaker=self._sagemaker)

    def remove_components(self, hosted: Mapping[str, HostedModel], tell: Tell) -> None:
        """The components of every model and of the adapters on it, and the SageMaker models they were made of."""
        waiting = [one for one in hosted.values() if one.placed]
        total, until = len(waiting), self._now() + PATIENCE_SECONDS
        while waiting:
            tell("inference components", total - len(waiting), total)
            waiting = [one for one in waiting if not self._components.remove(one)]
            if waiting and self._now() > until:
                told = ", ".join(one.endpoint for one in waiting)
                raise GenAIStackError(f"components on {told} don't go; look at them in the SageMaker console")
            if waiting:
                self._pause(POLL_SECONDS)
        if total:
            tell("inference components", total, total)

    def remove_versions(self, models: Iterable[str], declared: Iterable[str], tell: Tell) -> None:
        """The packages of these models' groups, and the groups, but for the `declared` ones: those are a stack's, which
        can't delete them while they hold anything."""
        ours = set(declared)
        groups = sorted({*ours, *(names.model_package_group(self._stage, model) for model in models)})
        for done, group in enumerate(groups):
            tell("model registry", done, len(groups))
            with translated("sagemaker", group, "hosting"):
                self._remove_group(group, keep=group in ours)
        if groups:
            tell("model registry", len(groups), len(groups))

    def remove_definitions(self, resources: Iterable[Resource]) -> None:
        """Every revision of the stack's job definitions: CloudFormation makes another with each change, and forgets the
        ones before."""
        arns = [one.name for one in resources if one.type == "AWS::Batch::JobDefinition"]
        for name in sorted({arn.rpartition("/")[2].partition(":")[0] for arn in arns}):
            with translated("batch", name):
                pages = self._batch.get_paginator("describe_job_definitions").paginate(
                    jobDefinitionName=name, status="ACTIVE"
                )
                for one in [one for page in pages for one in page["jobDefinitions"]]:
                    self._batch.deregister_job_definition(jobDefinition=one["jobDefinitionArn"])

    def logs(self, models: Iterable[str], resources: Iterable[Resource]) -> list[str]:
        """The log groups that SageMaker makes for these models and for what the hosting stack has."""
        groups = []
        for model in models:
            groups.append(names.component_log(names.component(self._stage, model)))
            groups.append(names.endpoint_log(names.endpoint(self._stage, model)))
        for one in resources:
            if one.type == "AWS::SageMaker::Endpoint" and (name := one.properties.get("EndpointName")):
                groups.append(names.endpoint_log(name))
            elif one.type == "Custom::InferenceComponents":
                groups.append(names.component_log(one.name))
        return groups

    def _remove_group(self, group: str, *, keep: bool) -> None:
        try:
            pages = self._sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
            for arn in [one["ModelPackageArn"] for page in pages for one in page["ModelPackageSummaryList"]]:
                self._sagemaker.delete_model_package(ModelPackageName=arn)
            if not keep:
                self._sagemaker.delete_model_package_group(ModelPackageGroupName=group)
        except self._sagemaker.exceptions.ClientError as error:
            if code_of(error) not in ("ValidationException", "ValidationError") or not _absent(str(error)):
                raise


def _absent(said: str) -> bool:
    """SageMaker has no code of its own for what isn't there."""
    return any(word in said.lower() for word in ("does not exist", "could not find", "not found"))
