"""What moto lacks, for the loopback account: SageMaker's inference components and their scaling, and the deletion of
model packages and their groups.

The unmodified client sends the requests, so its service model has checked them. Nothing moves by itself: a test says
`settle`, `fail` or `roll_back`, as SageMaker would.
"""

from __future__ import annotations

import json
from typing import Any

from tests.aws.account import Answer, Request

JSON = {"content-type": "application/x-amz-json-1.1"}


class Components:
    """A fault for `Account.broken`. `there` is what DescribeInferenceComponent says, `asked` every change."""

    def __init__(self) -> None:
        self.there: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.deleted_packages: list[str] = []
        self.deleted_groups: list[str] = []
        self.targets: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}

    def __call__(self, request: Request) -> Answer | None:
        if request.service == "application-autoscaling":
            return self._scaled(request.operation, json.loads(request.body))
        if request.service != "sagemaker":
            return None
        body = json.loads(request.body or b"{}")
        if request.operation == "DeleteModelPackage":
            self.deleted_packages.append(body["ModelPackageName"])
            return _said({})
        if request.operation == "DeleteModelPackageGroup":
            self.deleted_groups.append(body["ModelPackageGroupName"])
            return _said({})
        if "InferenceComponent" not in request.operation:
            return None
        verb = request.operation.removesuffix("InferenceComponents").removesuffix("InferenceComponent").lower()
        if verb not in ("describe", "list"):
            self.asked.append((verb, body))
        return getattr(self, f"_{verb}")(body)  # type: ignore[no-any-return]

    def settle(self) -> None:
        """Everything under way succeeds."""
        for name, one in list(self.there.items()):
            if one["InferenceComponentStatus"] == "Deleting":
                del self.there[name]
                continue
            one["Specification"] = one.pop("next", one["Specification"])
            one["InferenceComponentStatus"] = "InService"
            one["RuntimeConfig"]["CurrentCopyCount"] = one["RuntimeConfig"]["DesiredCopyCount"]

    def fail(self, name: str, reason: str) -> None:
        self.there[name] |= {"InferenceComponentStatus": "Failed", "FailureReason": reason}

    def roll_back(self, name: str, reason: str) -> None:
        self.there[name].pop("next")
        self.there[name] |= {"InferenceComponentStatus": "InService", "FailureReason": reason}

    def _scaled(self, operation: str, body: dict[str, Any]) -> Answer:
        name = body["ResourceId"].removeprefix("inference-component/")
        gone = _refused("No scalable target or policy found", "ObjectNotFoundException")
        if operation == "RegisterScalableTarget":
            if self.there[name]["InferenceComponentStatus"] != "InService":
                return _refused("the component is not in service")
            self.targets[name] = body
            return _said({"ScalableTargetARN": f"arn:target:{name}"})
        if name not in self.targets:
            return gone
        if operation == "PutScalingPolicy":
            self.policies[body["PolicyName"]] = body
            return _said({"PolicyARN": f"arn:policy:{body['PolicyName']}", "Alarms": []})
        if operation == "DeleteScalingPolicy":
            return _said({}) if self.policies.pop(body["PolicyName"], None) else gone
        assert operation == "DeregisterScalableTarget"
        del self.targets[name]
        self.policies = {
            key: one for key, one in self.policies.items() if one["ResourceId"] != body["ResourceId"]
        }
        return _said({})

    def _create(self, body: dict[str, Any]) -> Answer:
        name, about = body["InferenceComponentName"], body["Specification"]
        base, copies = (
            about.get("BaseInferenceComponentName"),
            body.get("RuntimeConfig", {}).get("CopyCount", 1),
        )
        if name in self.there:
            return _refused("Cannot create already existing inference component")
        if base is not None and base not in self.there:
            return _refused(f"Could not find inference component {base}")
        if not copies:
            return _refused("CopyCount must be greater than 0")
        self.there[name] = {
            "InferenceComponentName": name,
            "InferenceComponentArn": f"arn:aws:sagemaker:eu-central-1:123456789012:inference-component/{name}",
            "EndpointName": body["EndpointName"],
            "EndpointArn": f"arn:aws:sagemaker:eu-central-1:123456789012:endpoint/{body['EndpointName']}",
            "VariantName": body.get("VariantName", "AllTraffic"),
            "Specification": about,
            "RuntimeConfig": {"DesiredCopyCount": copies, "CurrentCopyCount": 0},
            "InferenceComponentStatus": "Creating",
            "CreationTime": 0,
            "LastModifiedTime": 0,
        }
        return _said({"InferenceComponentArn": self.there[name]["InferenceComponentArn"]})

    def _update(self, body: dict[str, Any]) -> Answer:
        one = self.there.get(body["InferenceComponentName"])
        if one is None or one["InferenceComponentStatus"] != "InService":
            return _refused("Could not find inference component, or it is changing")
        one["next"], one["InferenceComponentStatus"] = body["Specification"], "Updating"
        one.pop("FailureReason", None)
        return _said({"InferenceComponentArn": one["InferenceComponentArn"]})

    def _describe(self, body: dict[str, Any]) -> Answer:
        one = self.there.get(body["InferenceComponentName"])
        if one is None:
            return _refused(f'Could not find inference component "{body["InferenceComponentName"]}".')
        return _said({key: value for key, value in one.items() if key != "next"})

    def _delete(self, body: dict[str, Any]) -> Answer:
        name = body["InferenceComponentName"]
        if name not in self.there:
            return _refused("Could not find inference component")
        if any(one["Specification"].get("BaseInferenceComponentName") == name for one in self.there.values()):
            return _refused("Cannot delete a base that has adapters")
        self.there[name]["InferenceComponentStatus"] = "Deleting"
        return _said({})

    def _list(self, body: dict[str, Any]) -> Answer:
        """One a page."""
        found = [
            one
            for one in self.there.values()
            if body.get("EndpointNameEquals", one["EndpointName"]) == one["EndpointName"]
            and body.get("StatusEquals", one["InferenceComponentStatus"]) == one["InferenceComponentStatus"]
        ]
        at = int(body.get("NextToken", 0))
        more = {"NextToken": str(at + 1)} if at + 1 < len(found) else {}
        hidden = ("next", "Specification", "RuntimeConfig", "FailureReason")
        page = [{k: v for k, v in one.items() if k not in hidden} for one in found[at : at + 1]]
        return _said({"InferenceComponents": page, **more})


def _said(value: dict[str, Any]) -> Answer:
    return Answer(200, JSON, json.dumps(value).encode())


def _refused(why: str, code: str = "ValidationException") -> Answer:
    return Answer(400, JSON, json.dumps({"__type": code, "message": why}).encode())
