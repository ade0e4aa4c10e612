"""A stage's versions in SageMaker's model registry, where people of the account look for them.

The records are the truth: this brings a model's package group in line with them, after each change, so that one that
failed is made good by the next. A version that isn't approved waits there for approval, the live one is approved.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from genai_stack import names
from genai_stack.hosted import HostedModel
from genai_stack.ports import ModelRegistry, ModelVersion

from . import served, session
from .faults import code_of, translated

VERSION = "genai-stack-version"
"""The package's metadata property that names our version."""
LINEAGE = ("job", "data", "parent", "origin", "digest", "base")
APPROVAL = {"pending": "PendingManualApproval", "approved": "Approved"}
JSON = ["application/json"]


class MirroredModels:
    """ModelRegistry over another one, whose versions of hosted models, and of adapters on them, are packages too."""

    def __init__(
        self, stage: str, over: ModelRegistry, hosted: Mapping[str, HostedModel], *, sagemaker: Any = None
    ) -> None:
        """`hosted` is what the hosting stack made, by the names in the catalogue."""
        self._stage, self._over, self._hosted = stage, over, hosted
        self._sagemaker = sagemaker or session.client("sagemaker")

    def register(self, version: ModelVersion) -> ModelVersion:
        made = self._over.register(version)
        self._mirror(made.name)
        return made

    def get(self, name: str) -> ModelVersion:
        return self._over.get(name)

    def list(self) -> builtins.list[ModelVersion]:
        return self._over.list()

    def versions(self, name: str) -> builtins.list[ModelVersion]:
        return self._over.versions(name)

    def promote(self, name: str, version: int) -> ModelVersion:
        made = self._over.promote(name, version)
        self._mirror(name)
        return made

    def rollback(self, name: str) -> ModelVersion:
        made = self._over.rollback(name)
        self._mirror(name)
        return made

    def delete(self, name: str, version: int | None = None) -> None:
        bases = [one.base or name for one in self._over.versions(name)]
        self._over.delete(name, version)
        there = self._over.versions(name) if version is not None else []
        if self._host(bases[0]) is not None:
            self._bring(name, there)

    def _mirror(self, name: str) -> None:
        there = self._over.versions(name)
        if self._host(there[0].base or name) is not None:
            self._bring(name, there)

    def _host(self, base: str) -> HostedModel | None:
        return self._hosted.get(base)

    def _bring(self, name: str, versions: builtins.list[ModelVersion]) -> None:
        """The group's packages are `versions`, but for the configuration's own."""
        group = names.model_package_group(self._stage, name)
        with translated("sagemaker", group, "hosting"):
            known = self._packages(group)
            for version in (v for v in versions if v.version):
                hosted = self._host(version.base or name)
                status = APPROVAL[version.approval]
                if version.version not in known and hosted is not None:
                    self._sagemaker.create_model_package(**_package(group, hosted, version, status))
                elif version.version in known and known[version.version][1] != status:
                    self._sagemaker.update_model_package(
                        ModelPackageArn=known[version.version][0],
                        ModelApprovalStatus=status,
                        ApprovalDescription=f"{version.reference} was promoted through genai-stack",
                        CustomerMetadataProperties=_told(version),
                    )
            for number in known.keys() - {v.version for v in versions}:
                self._sagemaker.delete_model_package(ModelPackageName=known[number][0])

    def _packages(self, group: str) -> dict[int, tuple[str, str]]:
        """By our version: the package's ARN and its approval. Makes the group where there is none."""
        from botocore.exceptions import ClientError

        try:
            self._sagemaker.describe_model_package_group(ModelPackageGroupName=group)
        except ClientError as error:
            if code_of(error) not in ("ValidationException", "ValidationError"):
                raise
            self._sagemaker.create_model_package_group(ModelPackageGroupName=group)
            return {}
        pages = self._sagemaker.get_paginator("list_model_packages").paginate(ModelPackageGroupName=group)
        found: dict[int, tuple[str, str]] = {}
        for arn in [one["ModelPackageArn"] for page in pages for one in page["ModelPackageSummaryList"]]:
            about = self._sagemaker.describe_model_package(ModelPackageName=arn)
            number = about.get("CustomerMetadataProperties", {}).get(VERSION, "")
            if number.isdigit():
                found[int(number)] = arn, about.get("ModelApprovalStatus", "")
        return found


def _package(group: str, hosted: HostedModel, version: ModelVersion, status: str) -> dict[str, Any]:
    container = served.request("", hosted, version)["PrimaryContainer"]
    return {
        "ModelPackageGroupName": group,
        "ModelPackageDescription": f"{version.reference} from {version.source}"[:1024],
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": JSON,
            "SupportedResponseMIMETypes": JSON,
        },
        "ModelApprovalStatus": status,
        "CustomerMetadataProperties": _told(version),
    }


def _told(version: ModelVersion) -> dict[str, str]:
    lineage = {name: str(value) for name in LINEAGE if (value := getattr(version, name)) is not None}
    return {VERSION: str(version.version), "source": version.source, **lineage}
