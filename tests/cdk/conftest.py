"""One synthesis for all tests, checked by cdk-nag; one more wherever a test needs another configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.config import StackConfig, parse_config
from tests.run_wide import made_once

NAME = "GenaiStack-Training"
Synthesis = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test to ask for the template waits for its synthesis, which takes a minute where much else runs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
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


def synthesised(
    factory: pytest.TempPathFactory,
    name: str,
    config: StackConfig,
    stage: str = "dev",
    *,
    checked: bool = False,
) -> Path:
    """The assembly's folder, the same one for all of the run's processes."""
    return (
        made_once(factory, f"cdk-{name}", lambda into: synthesise(into, config, stage, checked=checked)) / "out"
    )


def read_template(assembly: Path, name: str = NAME) -> dict[str, Any]:
    template: dict[str, Any] = json.loads((assembly / f"{name}.template.json").read_text())
    return template


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `cdk synth` writes with every default; cdk-nag has passed it."""
    return synthesised(tmp_path_factory, "default", StackConfig(), checked=True)


@pytest.fixture(scope="session")
def template(assembly: Path) -> Iterator[dict[str, Any]]:
    """The training stack's template. Nobody changes it."""
    content = read_template(assembly)
    before = json.dumps(content, sort_keys=True)
    yield content
    assert json.dumps(content, sort_keys=True) == before


@pytest.fixture(scope="session")
def hosting_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three hosted models beside every default: one of the hub with adapters, one in S3 on either of two machines, one
    that answers through S3; cdk-nag has passed it."""
    return synthesised(tmp_path_factory, "hosted", parse_config(HOSTED), checked=True)


HOSTED = """
[[model]]
name = "chat"
source = "hf://Qwen/Qwen3-4B@main"
instance = "g6e.xlarge"
context = 32768
adapters = 4
max = 2
[[model]]
name = "big"
source = "s3://weights/big-32b"
instance = ["g6e.12xlarge", "g7e.12xlarge"]
min = 1
max = 4
[[model]]
name = "film"
source = "hf://Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
task = "video"
instance = "g6e.2xlarge"
parameters = 7.2
max = 3
"""


@pytest.fixture(scope="session")
def reserved(reserved_assembly: Path) -> dict[str, Any]:
    """The training stack's template of another stage."""
    return read_template(reserved_assembly)


@pytest.fixture(scope="session")
def reserved_assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another stage: an API with limits of its own, private machines behind NAT, eight H100s to a node in a capacity
    block, images of its own."""
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
    [service.gateway]
    requests_per_second = 7
    burst = 9
    requests_per_address = 50
    concurrency = 0
    memory_mb = 512
    [[model]]
    name = "chat"
    source = "hf://Qwen/Qwen3-4B"
    instance = "g6e.xlarge"
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1-cu129"
    ami = "al2-ami-sagemaker-inference-gpu-3-1"
    min = 1
    [[model]]
    name = "film"
    source = "s3://weights/film"
    task = "video"
    instance = "g6e.2xlarge"
    parameters = 7.2
    min = 1
    """
    return synthesised(tmp_path_factory, "reserved", parse_config(text), "prod")
