"""One synthesis for all tests, checked by cdk-nag; one more wherever a test needs another configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.config import StackConfig, parse_config

NAME = "GenaiStack-Training"
Synthesis = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test to ask for the template waits for its synthesis, which takes a minute where much else runs."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(600))


def synthesise(into: Path, config: StackConfig, stage: str = "dev", *, checked: bool = False) -> Path:
    """The assembly's folder."""
    from cdk.app import build, new_app

    staging = into / "staging"
    staging.mkdir(parents=True)
    app = new_app(str(into / "out"))
    build(app, config, stage, staging, checked=checked)
    app.synth()
    return into / "out"


def read_template(assembly: Path) -> dict[str, Any]:
    template: dict[str, Any] = json.loads((assembly / f"{NAME}.template.json").read_text())
    return template


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `cdk synth` writes with every default; cdk-nag has passed it."""
    return synthesise(tmp_path_factory.mktemp("cdk"), StackConfig(), checked=True)


@pytest.fixture(scope="session")
def template(assembly: Path) -> Iterator[dict[str, Any]]:
    """The training stack's template. Nobody changes it."""
    content = read_template(assembly)
    before = json.dumps(content, sort_keys=True)
    yield content
    assert json.dumps(content, sort_keys=True) == before


@pytest.fixture(scope="session")
def reserved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Another stage: private machines behind NAT, eight H100s to a node in a capacity block, an image of its own."""
    text = """
    [training]
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1"
    alarm_email = "me@example.com"
    mlflow = "https://mlflow.example.com"
    retain_data = false
    [training.network]
    zones = 3
    egress = "nat"
    nat_gateways = 2
    endpoints = ["sts"]
    [training.multi_node]
    instance = "p5.48xlarge"
    nodes = 4
    max_vcpus = 768
    zone = 3
    capacity_reservation = "cr-0123456789abcdef0"
    capacity_block = true
    [training.budget]
    monthly_usd = 0
    """
    return read_template(synthesise(tmp_path_factory.mktemp("cdk"), parse_config(text), "prod"))
