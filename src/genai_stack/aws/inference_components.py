"""What is up in a stage, and what one model's component needs to come up or to free what it holds: SageMaker's
control plane, asked as a host asks. Making components and moving them to other versions is the promotion's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from genai_stack import names
from genai_stack.errors import EngineFailed, NotDeployedError, NotFound
from genai_stack.hosted import HostedModel
from genai_stack.ports import ModelVersion

from . import session
from .faults import code_of, translated

ANSWERING = ("InService", "Updating")
Make = Callable[[ModelVersion, HostedModel], None]


def unmade(version: ModelVersion, hosted: HostedModel) -> NoReturn:
    """Raises NotDeployedError: nobody here makes a component."""
    raise NotDeployedError(
        f"{version.name!r} has no inference component on {hosted.endpoint}; promote it, or deploy the hosting stack"
    )


class InferenceComponents:
    """Safe from any thread. Raises Overloaded when SageMaker throttles."""

    def __init__(
        self,
        stage: str,
        hosted: Mapping[str, HostedModel],
        *,
        make: Make = unmade,
        sagemaker: Any = None,
    ) -> None:
        """`make` asks for the component of a model that has none."""
        self._stage, self._hosted, self._make = stage, hosted, make
        self._client = sagemaker

    def up(self) -> frozenset[str]:
        """The components that answer now, be it while they are updated: on a base with a copy. A model that answers
        through S3 has none, and counts as one while its endpoint is in service."""
        found: set[str] = set()
        for hosted in self._hosted.values():
            base = names.component(self._stage, hosted.name)
            if hosted.asynchronous:
                if self._endpoint_serves(hosted.endpoint):
                    found.add(base)
                continue
            there = self._answering(hosted.endpoint)
            if base in there and self._copies(base) > 0:
                found |= there
        return frozenset(found)

    def start(self, version: ModelVersion, hosted: HostedModel) -> None:
        """Asks for a copy where there is none, and returns. An adapter comes with its base's copy."""
        if hosted.asynchronous:
            return
        base = names.component(self._stage, hosted.name)
        own = names.component(self._stage, version.name)
        for component in dict.fromkeys((base, own)):
            there = self._described(component)
            if there is None:
                self._make(version, hosted)
                return
            if there["InferenceComponentStatus"] == "Failed":
                raise EngineFailed(
                    f"the component of {version.name!r} failed: {there.get('FailureReason')}; see its log group"
                )
            if there["InferenceComponentStatus"] != "InService":
                return
            if component == base and there.get("RuntimeConfig", {}).get("DesiredCopyCount") == 0:
                self._set_copies(base, 1)

    def stop(self, component: str) -> None:
        """An adapter's component is deleted; a base's loses its copies, and a request brings one back where it scales
        from zero."""
        there = self._described(component)
        if there is None or there["InferenceComponentStatus"] == "Deleting":
            raise NotFound(f"there is no inference component {component}")
        if there.get("Specification", {}).get("BaseInferenceComponentName"):
            with self._sage(component):
                self._sagemaker.delete_inference_component(InferenceComponentName=component)
        else:
            self._set_copies(component, 0)

    @property
    def _sagemaker(self) -> Any:
        if self._client is None:
            self._client = session.client("sagemaker")
        return self._client

    def _answering(self, endpoint: str) -> frozenset[str]:
        found: set[str] = set()
        with self._sage(endpoint):
            for status in ANSWERING:
                pages = self._sagemaker.get_paginator("list_inference_components").paginate(
                    EndpointNameEquals=endpoint, StatusEquals=status
                )
                found |= {
                    one["InferenceComponentName"] for page in pages for one in page["InferenceComponents"]
                }
        return frozenset(found)

    def _copies(self, component: str) -> int:
        there = self._described(component) or {}
        return int(there.get("RuntimeConfig", {}).get("CurrentCopyCount", 0))

    def _endpoint_serves(self, endpoint: str) -> bool:
        with self._sage(endpoint):
            try:
                there = self._sagemaker.describe_endpoint(EndpointName=endpoint)
            except self._sagemaker.exceptions.ClientError as error:
                if _is_absent(error):
                    return False
                raise
        return bool(there["EndpointStatus"] in ("InService", "Updating", "SystemUpdating"))

    def _described(self, component: str) -> dict[str, Any] | None:
        with self._sage(component):
            try:
                found: dict[str, Any] = self._sagemaker.describe_inference_component(
                    InferenceComponentName=component
                )
            except self._sagemaker.exceptions.ClientError as error:
                if _is_absent(error):
                    return None
                raise
        return found

    def _set_copies(self, component: str, count: int) -> None:
        with self._sage(component):
            self._sagemaker.update_inference_component_runtime_config(
                InferenceComponentName=component, DesiredRuntimeConfig={"CopyCount": count}
            )

    def _sage(self, what: str) -> Any:
        return translated("sagemaker", what, "hosting")


def _is_absent(error: Any) -> bool:
    """SageMaker has no code of its own for it."""
    return code_of(error) == "ValidationException" and "ould not find" in str(error)
