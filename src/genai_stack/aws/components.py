"""The inference components of a stage: made, moved to another version, asked about and removed.

CDK owns an endpoint, promotion owns what runs on it: `ensure` and `remove`, which CDK's custom resource calls, make a
base's component where there is none and never touch one that a promotion made. Every function looks first and does what
is missing; none waits, so each can be called again until it says that all is done. The API's function has the rights to
`up`, `wake` and `stop` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from genai_stack import names
from genai_stack.errors import Conflict, EngineFailed, GenAIStackError, NotDeployedError, NotFound, RequestError
from genai_stack.hosted import HostedModel
from genai_stack.ports import ModelVersion
from genai_stack.registry import MOVED_ON, split

from . import archives, served, session
from .faults import code_of, translated
from .scaling import Scaling

State = Literal["creating", "in_service", "updating", "deleting", "failed"]
STATES: dict[str, State] = {
    "Creating": "creating",
    "InService": "in_service",
    "Updating": "updating",
    "Deleting": "deleting",
    "Failed": "failed",
}
CALM = 3
"""Looks after which a component that still serves what it did before won't move any more."""
UPDATE_SECONDS = 3600
"""A rolling update that takes longer is rolled back."""


class ComponentStatus(msgspec.Struct, frozen=True):
    """`version` is the one a base's component serves or moves to, 0 the catalogue's own; None for an adapter, which has
    no `desired` copies of its own either. `serves` is the SageMaker model or the adapter's archive. `reason` says why
    it failed, in SageMaker's words."""

    component: str
    state: State
    copies: int
    desired: int | None
    serves: str
    base: str | None = None
    version: int | None = None
    reason: str | None = None


class Components:
    """Safe from any thread. Raises NotDeployedError where the endpoint isn't there, Overloaded when SageMaker
    throttles."""

    def __init__(
        self, stage: str, hosted: Mapping[str, HostedModel] = MappingProxyType({}), *, sagemaker: Any = None
    ) -> None:
        """`hosted` is what `up` looks at: the models of the stage by their names in the catalogue."""
        self._stage, self._hosted = stage, hosted
        if sagemaker is not None:
            self._sagemaker = sagemaker

    @cached_property
    def _sagemaker(self) -> Any:
        return session.client("sagemaker")

    @cached_property
    def _scaling(self) -> Scaling:
        return Scaling()

    def ensure(self, hosted: HostedModel) -> None:
        """There is a component for the base: the catalogue's source where there was none, moved along where the
        catalogue changed. A promoted one stays as it is, but for its scaling. One that failed is made anew."""
        there = self.status(hosted.name)
        if there is not None and there.state == "failed":
            self._delete(there)
            return
        moved = False
        if there is None or (there.state == "in_service" and not there.version):
            moved = self.serve(hosted, ModelVersion(hosted.name, hosted.source))
        if there is not None and there.state == "in_service" and not moved:
            self._scaling.put(there.component, hosted)

    def settled(self, hosted: HostedModel) -> bool:
        """Whether `ensure` is done: the component is in service, and scales. Raises GenAIStackError, with SageMaker's
        reason, when it failed."""
        there = self.status(hosted.name)
        if there is None:  # it failed before, and is deleted by now
            self.serve(hosted, ModelVersion(hosted.name, hosted.source))
            return False
        if there.state == "failed":
            raise GenAIStackError(f"the component of {hosted.name!r} failed: {there.reason}; see its log group")
        if there.state == "in_service":
            self._scaling.put(there.component, hosted)
        return there.state == "in_service"

    def remove(self, hosted: HostedModel) -> bool:
        """Deletes the base's component and all its adapters, these first; whether nothing is left of them."""
        there = list(self._on(hosted.endpoint))
        first = [one for one in there if one.base is not None] or there
        for one in first:
            if one.state != "deleting":
                self._delete(one)
        if there:
            return False
        self._delete_models(hosted)
        return True

    def serve(self, hosted: HostedModel, version: ModelVersion) -> bool:
        """The base answers from `version`: its component is made, or updated copy by copy while the old ones answer,
        and goes back by itself when an alarm of `hosted` goes off. Whether there was anything to do. Raises Conflict
        while it changes already, or while adapters of another version are on it."""
        if not hosted.placed:
            raise RequestError(
                f"the endpoint of {hosted.name!r} has no components to move; change its source in stack.toml and "
                "deploy it"
            )
        request = served.request(self._stage, hosted, version)
        component, there = names.component(self._stage, hosted.name), self.status(hosted.name)
        if there is not None and there.serves == request["ModelName"] and there.state != "failed":
            return False
        with self._sage(component):
            if there is None:
                self._create_model(request)
                self._sagemaker.create_inference_component(
                    InferenceComponentName=component,
                    EndpointName=hosted.endpoint,
                    VariantName=names.VARIANT,
                    Specification=served.specification(hosted, request["ModelName"]),
                    RuntimeConfig={
                        "CopyCount": max(hosted.min_copies, 1)
                    },  # 0 is refused here, and scaled to later
                )
                return True
            self._refuse_change(there, hosted.name)
            if names.served_parts(there.serves) != names.served_parts(request["ModelName"]):
                self._refuse_adapters(hosted, version)
            self._create_model(request)
            self._sagemaker.update_inference_component(
                InferenceComponentName=component,
                Specification=served.specification(hosted, request["ModelName"]),
                DeploymentConfig=_rolling(hosted),
            )
        return True

    def attach(self, hosted: HostedModel, version: ModelVersion) -> bool:
        """The adapter `version` answers on its base's component. Whether there was anything to do. Raises NotFound
        where the base has no component, Conflict where that serves another version, or other weights, than the adapter
        was tuned from, or while something changes already."""
        base = self.status(hosted.name)
        if base is None:
            raise NotFound(f"nothing runs as {hosted.name!r}, the base of {version.name!r}; deploy it first")
        tuned_from = split(version.parent)[1] if version.parent else None
        if tuned_from is not None and tuned_from != base.version:
            raise Conflict(
                f"{version.reference} was tuned from {version.parent}, and {hosted.name}@{base.version} is what runs; "
                "promote the one it was tuned from, or tune it anew",
                code=MOVED_ON,
            )
        runs, source = names.served_parts(base.serves), version.parent_source
        if tuned_from == 0 and source is not None and runs and runs[1] != names.weights_mark(source):
            raise Conflict(
                f"{version.reference} was tuned from {version.parent} when that was {source}, and other weights run as "
                f"{hosted.name!r} now; name the former in stack.toml again, or tune it anew",
                code=MOVED_ON,
            )
        archive = archives.packed(version.source)
        component, there = names.component(self._stage, version.name), self.status(version.name)
        if there is not None and there.serves == archive and there.state != "failed":
            return False
        about = {
            "InferenceComponentName": component,
            "Specification": {
                "BaseInferenceComponentName": base.component,
                "Container": {"ArtifactUrl": archive},
            },
        }
        with self._sage(component):
            if there is None:
                self._sagemaker.create_inference_component(EndpointName=hosted.endpoint, **about)
            else:
                self._refuse_change(there, version.name)
                self._sagemaker.update_inference_component(**about)
        return True

    def start(self, version: ModelVersion, hosted: HostedModel) -> None:
        """Asks for the component of a version on the endpoint of its base, and returns; nothing happens where it is up
        or changing. Raises EngineFailed, with SageMaker's reason, where it has failed: then it is deleted, and made
        anew by the next call."""
        there = self.status(version.name)
        if there is not None and there.state == "failed":
            self._delete(there)
            raise EngineFailed(
                f"the component of {version.name!r} failed: {there.reason}; see its log, try again"
            )
        if there is None or there.state == "in_service":
            (self.attach if version.base else self.serve)(hosted, version)

    def answers(self, version: ModelVersion, hosted: HostedModel, look: int) -> bool:
        """Whether the component of a version, once asked for, answers from it by now; `look` counts the times this was
        asked, from 0. Raises EngineFailed, with SageMaker's reason, where it failed, or went back to what it served
        before."""
        wanted = served.request(self._stage, hosted, version)["ModelName"]
        wanted = archives.address(version.source) if version.base else wanted
        there = self.status(version.name)
        if there is None or there.state == "failed":
            why = there.reason if there else "it is deleted"
            raise EngineFailed(f"the component of {version.reference} failed: {why}; see its log group")
        if there.state == "in_service" and there.serves == wanted:
            if version.base is None:
                self._scaling.put(there.component, hosted)
            return True
        if there.state == "in_service" and look >= CALM:
            why = there.reason or "an alarm went off, or no machine was free"
            raise EngineFailed(f"the update to {version.reference} was rolled back: {why}; nothing has changed")
        return False

    def up(self) -> frozenset[str]:
        """The components that answer now, be it while they are updated: on a base with a copy. A model that has none
        counts as one while its endpoint is in service."""
        found: set[str] = set()
        for hosted in self._hosted.values():
            base = names.component(self._stage, hosted.name)
            if not hosted.placed:
                if self._endpoint_serves(hosted.endpoint):
                    found.add(base)
                continue
            there = self._answering(hosted.endpoint)
            if base in there and (about := self._described(base)) is not None and about.copies:
                found |= there
        return frozenset(found)

    def wake(self, version: ModelVersion, hosted: HostedModel) -> None:
        """Asks for a copy where there is none, and returns: whoever may make no component may do this. An adapter comes
        with its base's copy. Raises NotDeployedError where there is no component, EngineFailed where it failed."""
        if not hosted.placed:
            return
        for model in dict.fromkeys((hosted.name, version.name)):
            there = self.status(model)
            if there is None:
                raise NotDeployedError(
                    f"{version.name!r} has no inference component on {hosted.endpoint}; promote it, or deploy the "
                    "hosting stack"
                )
            if there.state == "failed":
                raise EngineFailed(
                    f"the component of {version.name!r} failed: {there.reason}; see its log group"
                )
            if there.state != "in_service":
                return
            if there.base is None and there.desired == 0:
                self._set_copies(there.component, 1)

    def stop(self, component: str) -> None:
        """An adapter's component is deleted; a base's loses its copies, and a request brings one back where it scales
        from zero. Raises NotFound."""
        there = self._described(component)
        if there is None or there.state == "deleting":
            raise NotFound(f"there is no inference component {component}")
        if there.base is None:
            self._set_copies(component, 0)
        else:
            self._delete(there)

    def status(self, model: str) -> ComponentStatus | None:
        """How the component of a model name, a base's or an adapter's, gets on; None where there is none."""
        return self._described(names.component(self._stage, model))

    def _described(self, component: str) -> ComponentStatus | None:
        with self._sage(component):
            try:
                found = self._sagemaker.describe_inference_component(InferenceComponentName=component)
            except self._sagemaker.exceptions.ClientError as error:
                if _is_absent(error):
                    return None
                raise
        about, copies = found.get("Specification", {}), found.get("RuntimeConfig", {})
        model = about.get("ModelName", "")
        return ComponentStatus(
            component=component,
            state=STATES[found["InferenceComponentStatus"]],
            copies=copies.get("CurrentCopyCount", 0),
            desired=copies.get("DesiredCopyCount"),
            serves=model or about.get("Container", {}).get("ArtifactUrl", ""),
            base=about.get("BaseInferenceComponentName"),
            version=parts[0] if (parts := names.served_parts(model)) else None,
            reason=found.get("FailureReason"),
        )

    def _on(self, endpoint: str) -> Iterator[ComponentStatus]:
        with self._sage(endpoint):
            pages = self._sagemaker.get_paginator("list_inference_components").paginate(
                EndpointNameEquals=endpoint
            )
            found = [one["InferenceComponentName"] for page in pages for one in page["InferenceComponents"]]
        for component in found:
            if (there := self._described(component)) is not None:
                yield there

    def _answering(self, endpoint: str) -> frozenset[str]:
        found: set[str] = set()
        with self._sage(endpoint):
            for status in ("InService", "Updating"):
                pages = self._sagemaker.get_paginator("list_inference_components").paginate(
                    EndpointNameEquals=endpoint, StatusEquals=status
                )
                found |= {
                    one["InferenceComponentName"] for page in pages for one in page["InferenceComponents"]
                }
        return frozenset(found)

    def _endpoint_serves(self, endpoint: str) -> bool:
        with self._sage(endpoint):
            try:
                there = self._sagemaker.describe_endpoint(EndpointName=endpoint)
            except self._sagemaker.exceptions.ClientError as error:
                if _is_absent(error):
                    return False
                raise
        return there["EndpointStatus"] in ("InService", "Updating", "SystemUpdating")

    def _set_copies(self, component: str, count: int) -> None:
        with self._sage(component):
            self._sagemaker.update_inference_component_runtime_config(
                InferenceComponentName=component, DesiredRuntimeConfig={"CopyCount": count}
            )

    def _create_model(self, request: dict[str, Any]) -> None:
        """Its name is its content's, so one that is there is the same."""
        try:
            self._sagemaker.create_model(**request)
        except self._sagemaker.exceptions.ClientError as error:
            if "existing model" not in str(error):
                raise

    def _delete(self, there: ComponentStatus) -> None:
        """An adapter has no scaling, and who attaches adapters may change none."""
        if there.base is None:
            self._scaling.remove(there.component)
        with self._sage(there.component):
            try:
                self._sagemaker.delete_inference_component(InferenceComponentName=there.component)
            except self._sagemaker.exceptions.ClientError as error:
                if not _is_absent(error):
                    raise

    def _delete_models(self, hosted: HostedModel) -> None:
        ending = names.served_ending(self._stage, hosted.name)
        with self._sage(hosted.name):
            pages = self._sagemaker.get_paginator("list_models").paginate(NameContains=ending)
            found = [one["ModelName"] for page in pages for one in page["Models"]]
            for name in (name for name in found if name.endswith(ending)):
                self._sagemaker.delete_model(ModelName=name)

    def _refuse_change(self, there: ComponentStatus, model: str) -> None:
        if there.state in ("creating", "updating", "deleting"):
            raise Conflict(f"{model!r} is {there.state} already; wait until it has settled, then try again")

    def _refuse_adapters(self, hosted: HostedModel, version: ModelVersion) -> None:
        """An adapter is made for the weights of one version, and would answer nonsense on another's."""
        held = [one.component for one in self._on(hosted.endpoint) if one.base is not None]
        if held:
            raise Conflict(
                f"{len(held)} adapters run on {hosted.name!r} ({', '.join(sorted(held)[:4])}) and were made for the "
                f"version that is live; delete them, then promote {version.name}@{version.version}"
            )

    def _sage(self, what: str) -> Any:
        return translated("sagemaker", what, "hosting")


def _rolling(hosted: HostedModel) -> dict[str, Any]:
    policy: dict[str, Any] = {
        "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
        "WaitIntervalInSeconds": 60,
        "MaximumExecutionTimeoutInSeconds": max(UPDATE_SECONDS, 2 * hosted.startup_seconds),
        "RollbackMaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 100},
    }
    alarms = [{"AlarmName": name} for name in hosted.alarms]
    return {
        "RollingUpdatePolicy": policy,
        **({"AutoRollbackConfiguration": {"Alarms": alarms}} if alarms else {}),
    }


def _is_absent(error: Any) -> bool:
    """SageMaker has no code of its own for what isn't there."""
    return code_of(error) == "ValidationException" and "could not find" in str(error).lower()
