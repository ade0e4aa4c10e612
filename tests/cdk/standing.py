"""Whole stages, deployed into moto behind a loopback server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import moto.cloudformation.parsing as parsing
import pytest

from genai_stack import names
from tests.aws.account import Account, Answer, account
from tests.aws.sagemaker_stand_in import Components as StandIn
from tests.cdk.account import account as cloudformation
from tests.cdk.account import placeholder
from tests.cdk.hosting.test_deployment import PLACEHOLDERS as HOSTING
from tests.cdk.service.test_deployment import PLACEHOLDERS as SERVICE
from tests.cdk.service.test_deployment import stage_type
from tests.cdk.test_deployment import bootstrap, deploy

LAYERS: tuple[names.Layer, ...] = ("training", "hosting", "service")


class Settling(StandIn):
    """Components are gone a look after they were told to go."""

    def _list(self, body: dict[str, Any]) -> Answer:
        self.settle()
        return super()._list(body)


class Stand:
    def __init__(self, aws: Account, sagemaker: StandIn) -> None:
        self.aws, self.sagemaker = aws, sagemaker

    def stacks(self) -> list[str]:
        found = boto3.client("cloudformation").describe_stacks()["Stacks"]
        return sorted(stack["StackName"] for stack in found)


@contextmanager
def deployed(*stages: tuple[str, Path]) -> Iterator[Stand]:
    """Every layer of the stages, in one account."""
    aws, sagemaker, stage = account(), Settling(), stage_type()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (aws.environment | {"AWS_DEFAULT_REGION": "us-east-1"}).items():
            patch.setenv(name, value)
        patch.setattr(parsing, "CustomModel", placeholder("Custom::InferenceComponents"))
        patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
        patch.setattr("genai_stack.aws.removal.beside.POLL_SECONDS", 0.0)
        patch.setattr("genai_stack.aws.removal.stacks.POLL_SECONDS", 0.0)
        with cloudformation(*HOSTING, *SERVICE), aws.broken(sagemaker):
            bootstrap()
            for name, assembly in stages:
                for layer in LAYERS:
                    deploy(assembly, names.cloudformation_stack(layer), names.deployed_stack(name, layer))
            yield Stand(aws, sagemaker)
    del stage
