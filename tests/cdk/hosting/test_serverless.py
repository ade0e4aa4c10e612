"""A model with task `anatomy`: an archive that answers as the model server does, and an endpoint around it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cdk.constructs.anatomy_bundle import bundle_anatomy
from genai_stack import names
from genai_stack.catalogue import ModelConfig
from genai_stack.config import parse_config
from genai_stack.containers import PROCESSORS
from genai_stack.errors import InvalidModel
from genai_stack.hosted import HostedModel
from genai_stack.hosting.anatomy import serverless
from tests.cdk.conftest import read_template, synthesise
from tests.cdk.hosting.conftest import NAME
from tests.cdk.test_cost import cost, idle
from tests.hosting.in_process import invocations, post

CONFIG = """
[[model]]
name = "chat"
source = "builtin"
[[model]]
name = "open"
source = "builtin"
task = "anatomy"
memory = 2048
max = 7
"""
OPEN = ModelConfig("open", "builtin", "anatomy", memory=2048)
ASKED: list[dict[str, Any]] = [
    {"model": "base", "text": "The capital of Italy is <|im_start|> größer"},
    {"model": "base", "text": "a b", "heads": "mean", "vectors": True, "lens": True, "temperature": 0.5},
    {"model": "base", "text": "word " * 600},
    {"model": "base", "text": "a", "layers": [99]},
    {"model": "base", "text": ""},
    {"model": "base", "text": "a", "frobnicate": 1},
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_anatomy(OPEN, tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As SageMaker lays it out; with this Python's msgspec in the place of the container's."""
    folder = tmp_path_factory.mktemp("opt")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    for own in (folder / "code").glob("msgspec*"):
        shutil.rmtree(own)
    return folder


@pytest.fixture(scope="module")
def container(unpacked: Path) -> Iterator[int]:
    program = Path(__file__).with_name("container.py")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(program), str(unpacked)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean) as process:
        assert process.stdout is not None
        port, place = process.stdout.readline().split()
        assert Path(place).is_relative_to(unpacked)
        yield int(port)
        process.kill()


def invoked(port: int, body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


async def test_it_answers_what_the_model_server_answers(container: int, tmp_path: Path) -> None:
    local = invocations("builtin", tmp_path)
    for body in ASKED:
        there = invoked(container, body)
        assert there == await post(local, "/v1/anatomy", body)
    assert invoked(container, ASKED[0])[0] == 200


def test_an_answer_over_what_passes_is_refused(
    archive: Path, unpacked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Context:
        def set_response_status(self, code: int, phrase: str, idx: int) -> None:
            self.told = (code, phrase, idx)

    context = Context()
    opened = serverless.model_fn(str(unpacked))
    monkeypatch.setattr(serverless, "MOST", 1000)
    body = msgspec.json.encode(ASKED[0])
    told = json.loads(serverless.transform_fn(opened, body, "application/json", "*/*", context))
    assert context.told == (400, "Bad Request", 0)
    assert told["error"]["code"] == "answer_too_large"
    monkeypatch.setattr(serverless, "encode", lambda found: 1 / 0)
    told = json.loads(serverless.transform_fn(opened, body, "application/json", "*/*", context))
    assert (context.told[0], told["error"]["code"]) == (500, "internal_error")


def test_the_archive_is_the_same_again(archive: Path, tmp_path: Path) -> None:
    assert bundle_anatomy(OPEN, tmp_path).read_bytes() == archive.read_bytes()
    with tarfile.open(archive) as tar:
        inside = tar.getnames()
    assert {"code/inference.py", "model/config.json", "model/model.safetensors"} <= set(inside)
    assert [name for name in inside if "cpython-312-x86_64" in name]
    assert not [name for name in inside if "openvino" in name or "__pycache__" in name]


def test_weights_that_don_t_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="raise its memory"):
        bundle_anatomy(msgspec.structs.replace(OPEN, memory=1024), tmp_path)


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stage that hosts nothing else; cdk-nag has passed it."""
    return synthesise(tmp_path_factory.mktemp("cdk"), parse_config(CONFIG), checked=True)


def of(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one["Properties"] for one in template["Resources"].values() if one["Type"] == kind]


def test_the_endpoint(assembly: Path) -> None:
    template = read_template(assembly, NAME)
    (config,) = of(template, "AWS::SageMaker::EndpointConfig")
    (variant,) = config["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 7}
    assert variant["VariantName"] == names.VARIANT
    (model,) = of(template, "AWS::SageMaker::Model")
    assert "VpcConfig" not in model
    container = json.dumps(model["PrimaryContainer"])
    assert f"/{PROCESSORS.repository}:{PROCESSORS.tag}" in container
    assert ".tar.gz" in container
    manifest = json.loads((assembly / f"{NAME}.assets.json").read_text())["files"]
    (uploaded,) = [
        one
        for one in manifest.values()
        for at in one["destinations"].values()
        if at["objectKey"].endswith(".tar.gz")
    ]
    with tarfile.open(assembly / uploaded["source"]["path"]) as tar:
        assert "code/inference.py" in tar.getnames()
    (endpoint,) = of(template, "AWS::SageMaker::Endpoint")
    assert endpoint["EndpointName"] == names.endpoint("dev", "open")
    assert "Custom::InferenceComponents" not in {one["Type"] for one in template["Resources"].values()}
    (published,) = of(template, "AWS::SSM::Parameter")
    assert published["Name"] == names.parameter("dev", "hosting", names.hosted("open"))
    parts = published["Value"]["Fn::Join"][1]
    told = "".join(part if isinstance(part, str) else "x" for part in parts)
    hosted = msgspec.json.decode(told, type=HostedModel)
    assert (hosted.serverless, hosted.placed, hosted.task, hosted.memory_mb) == (True, False, "anatomy", 2048)
    assert len(of(template, "AWS::CloudWatch::Alarm")) == 1


def test_its_rights(assembly: Path) -> None:
    template = read_template(assembly, NAME)
    allowed = [
        (statement["Action"], json.dumps(statement["Resource"]))
        for policy in of(template, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    (read,) = [resource for action, resource in allowed if "s3:GetObject" in action]
    assert ".tar.gz" in read
    assert "*" not in read
    starred = {
        action if isinstance(action, str) else tuple(action) for action, where in allowed if where == '"*"'
    }
    assert starred == {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}
    service = read_template(assembly, "GenaiStack-Service")
    asks = [
        json.dumps(statement["Resource"])
        for policy in of(service, "AWS::IAM::Policy")
        for statement in policy["PolicyDocument"]["Statement"]
        if "sagemaker:InvokeEndpoint" in statement["Action"]
    ]
    assert len(asks) == 1
    assert f"endpoint/{names.endpoint('dev', 'open')}" in asks[0]


def test_idle_it_costs_an_alarm_and_the_dashboard(assembly: Path) -> None:
    found = cost(assembly, "--stage", "dev")
    assert [charge for charge in found["charges"] if charge["state"] == "unpriced"] == []
    assert idle(found, "GenaiStack-Hosting-dev", "Endpoint") == 0


@pytest.mark.slow
def test_cfn_lint_finds_nothing(assembly: Path) -> None:
    run = "import sys; from cfnlint.runner import main; sys.exit(main())"
    command = [sys.executable, "-c", run, "--ignore-checks", "W3005", "--", f"{assembly / NAME}.template.json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
