"""Job definitions: what a job asks for, what it runs, and what happens when it ends."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.cdk.templates import Template, of_type, text

KINDS = {
    "JobsTrain": ("genai_stack.training.launch", "all,train", "train"),
    "JobsTrainMultiNode": ("genai_stack.training.launch", "all,train", "multi-node"),
    "JobsEvaluate": ("genai_stack.bulk.evaluate", "all,evaluate", "evaluate"),
    "JobsBatch": ("genai_stack.bulk.batch", "all", "batch"),
}


def definition(template: Template, kind: str) -> dict[str, Any]:
    found = of_type(template, "Batch::JobDefinition")
    (properties,) = (found[id] for id in found if id[:-8] == kind)
    return properties


def container(template: Template, kind: str) -> dict[str, Any]:
    properties = definition(template, kind)
    if kind == "JobsTrainMultiNode":
        (nodes,) = properties["NodeProperties"]["NodeRangeProperties"]
        return nodes["Container"]
    return properties["ContainerProperties"]


def test_there_is_a_definition_for_each_kind(template: Template) -> None:
    assert {id[:-8] for id in of_type(template, "Batch::JobDefinition")} == set(KINDS)
    for kind in set(KINDS) - {"JobsTrainMultiNode"}:
        properties = definition(template, kind)
        assert (properties["Type"], properties["PlatformCapabilities"]) == ("container", ["EC2"])
        assert properties["PropagateTags"] is True


def test_node_0_speaks_for_all_nodes(template: Template, reserved: Template) -> None:
    many = definition(template, "JobsTrainMultiNode")
    assert (many["Type"], many["PropagateTags"]) == ("multinode", True)
    nodes = many["NodeProperties"]
    assert (nodes["MainNode"], nodes["NumNodes"]) == (0, 2)
    # Open at the end, so that a submit may ask for another number.
    assert [r["TargetNodes"] for r in nodes["NodeRangeProperties"]] == ["0:"]
    assert definition(reserved, "JobsTrainMultiNode")["NodeProperties"]["NumNodes"] == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_is_retried_for_its_machine_or_on_its_own_word_and_not_otherwise(
    template: Template, kind: str
) -> None:
    """Batch retries what no rule matches, so the last rule matches everything."""
    retry = definition(template, kind)["RetryStrategy"]
    assert retry["Attempts"] == 5
    assert retry["EvaluateOnExit"] == [
        {"OnStatusReason": "Host EC2*", "Action": "RETRY"},
        {"OnReason": "CannotPullContainer*", "Action": "RETRY"},
        {"OnExitCode": "75", "Action": "RETRY"},
        {"OnExitCode": "143", "Action": "RETRY"},  # SIGTERM, before the program listened for it
        {"OnReason": "*", "Action": "EXIT"},
    ]
    assert definition(template, kind)["Timeout"] == {"AttemptDurationSeconds": 24 * 3600}


@pytest.mark.parametrize(
    ("kind", "gpus", "vcpus", "gib"),
    [
        ("JobsTrain", 1, 8, 64),
        ("JobsEvaluate", 1, 8, 64),
        ("JobsBatch", 1, 8, 64),
        ("JobsTrainMultiNode", 4, 48, 384),
    ],
)
def test_a_job_asks_for_a_whole_machine_but_8_percent_of_its_memory(
    template: Template, kind: str, gpus: int, vcpus: int, gib: int
) -> None:
    """A machine registers less memory than it has; a job that asks for all of it never starts."""
    asked = {r["Type"]: r["Value"] for r in container(template, kind)["ResourceRequirements"]}
    memory = int(gib * 1024 * 0.92)
    assert asked == {"GPU": str(gpus), "VCPU": str(vcpus), "MEMORY": str(memory)}
    linux = container(template, kind)["LinuxParameters"]
    assert linux["SharedMemorySize"] == gib * 1024 // 8
    assert linux["InitProcessEnabled"] is True


@pytest.mark.parametrize("kind", KINDS)
def test_nccl_may_pin_memory_and_open_files(template: Template, kind: str) -> None:
    limits = {u["Name"]: (u["SoftLimit"], u["HardLimit"]) for u in container(template, kind)["Ulimits"]}
    assert limits == {"memlock": (-1, -1), "stack": (1 << 26, 1 << 26), "nofile": (65536, 65536)}
    assert container(template, kind)["Privileged"] is False


def test_a_node_sees_every_adapter(template: Template, reserved: Template) -> None:
    for stack, count in ((template, 1), (reserved, 32)):
        devices = container(stack, "JobsTrainMultiNode")["LinuxParameters"]["Devices"]
        for number, device in enumerate(devices):
            path = f"/dev/infiniband/uverbs{number}"
            assert device["HostPath"] == device["ContainerPath"] == path
            assert device["Permissions"] == ["READ", "WRITE", "MKNOD"]
        assert len(devices) == count
    for kind in set(KINDS) - {"JobsTrainMultiNode"}:
        assert "Devices" not in container(template, kind)["LinuxParameters"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_knows_its_region_and_stage(template: Template, kind: str) -> None:
    environment = {e["Name"]: text(e["Value"]) for e in container(template, kind)["Environment"]}
    fabric = {"FI_PROVIDER": "efa", "NCCL_SOCKET_IFNAME": "^lo,docker,ecs"}
    assert environment == {
        "AWS_DEFAULT_REGION": "<AWS::Region>",
        "GENAI_STACK_STAGE": "dev",
        "PYTHONUNBUFFERED": "1",
        **(fabric if kind == "JobsTrainMultiNode" else {}),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_logs_go_to_the_layer_s_group(template: Template, kind: str) -> None:
    logs = container(template, kind)["LogConfiguration"]
    assert logs["LogDriver"] == "awslogs"
    options = {name: text(value) for name, value in logs["Options"].items()}
    assert options == {
        "awslogs-group": "<StorageJobLog>",
        "awslogs-region": "<AWS::Region>",
        "awslogs-stream-prefix": KINDS[kind][2],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_and_the_agent_have_roles_of_their_own(template: Template, kind: str) -> None:
    properties = container(template, kind)
    assert text(properties["JobRoleArn"]) == "<RolesJob.Arn>"
    assert text(properties["ExecutionRoleArn"]) == "<RolesExecution.Arn>"


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_runs_its_module_in_aws_s_image(template: Template, kind: str) -> None:
    properties = container(template, kind)
    image = "<Registries>.dkr.ecr.<AWS::Region>.<AWS::URLSuffix>/huggingface-pytorch-training"
    assert text(properties["Image"]) == f"{image}:2.11-transformers5.13-cu130-amzn2023-sagemaker"
    before, script, program, packages, module, spec = _parts(properties["Command"])
    assert before == ["exec", "python3", "-c"]
    assert shlex.split(script) == [BOOT]
    assert program.startswith("s3://cdk-")
    assert program.endswith(".zip")
    assert (module, packages, spec) == (KINDS[kind][0], KINDS[kind][1], "Ref::spec")


def test_another_image_runs_the_command_as_it_is(reserved: Template) -> None:
    properties = container(reserved, "JobsTrain")
    assert properties["Image"] == "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mine:1"
    assert properties["Command"][:3] == ["python3", "-c", BOOT]
    assert "Mappings" not in reserved


def test_there_is_a_registry_for_every_region(template: Template) -> None:
    table = template["Mappings"]["Registries"]
    assert len(table) == 37
    assert table["us-east-1"] == {"account": "763104351884"}
    assert all(len(row["account"]) == 12 for row in table.values())


BOOT = (Path(__file__).parents[2] / "cdk/constructs/boot.py").read_text()


def _parts(command: list[Any]) -> tuple[Any, ...]:
    words = [text(word) for word in command]
    return (words[:-5], *words[-5:])


FAKE_BOTO = """
import shutil, sys
class Client:
    def download_file(self, bucket, key, path):
        assert (bucket, key) == ("assets", "abc.zip"), (bucket, key)
        shutil.copyfile({archive!r}, path)
def client(service):
    return Client()
"""


@pytest.fixture
def fetchable(tmp_path: Path) -> dict[str, str]:
    """An environment whose boto3 fetches a program that prints what it is given."""
    wheel = tmp_path / "extra-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("extra.py", "value = 'from the wheel'\n")
    program = tmp_path / "program.zip"
    with zipfile.ZipFile(program, "w") as archive:
        archive.writestr("shown/__init__.py", "")
        show = "import extra, os, signal, sys\nprint(extra.value, sys.argv[1], os.getpid(), flush=True)\n"
        wait = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\nprint('ready', flush=True)\nsignal.pause()\n"
        archive.writestr("shown/me.py", show)
        archive.writestr("shown/waiting.py", "import signal, sys\n" + wait)
        archive.write(wheel, f"packages/all/{wheel.name}")
    fake = tmp_path / "fake"
    (fake / "botocore").mkdir(parents=True)
    (fake / "boto3.py").write_text(FAKE_BOTO.format(archive=str(program)))
    (fake / "botocore/__init__.py").write_text("")
    errors = """
class BotoCoreError(Exception): pass
class ClientError(Exception):
    def __init__(self, said, status):
        super().__init__(said)
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}
"""
    (fake / "botocore/exceptions.py").write_text(errors)
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "python3").symlink_to(sys.executable)
    return {
        **os.environ,
        "PYTHONPATH": str(fake),
        "PATH": f"{bin}:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path),
    }


EVALUATING = ["bash", "-c", 'eval "$@"', "entry"]  # as the SageMaker images' entry point does
EXECUTING = ["bash", "-c", 'exec "$@"', "entry"]


@pytest.mark.parametrize(("tag", "entry"), [("x-sagemaker", EVALUATING), ("x-ec2", EXECUTING)])
def test_the_command_passes_either_entry_point(fetchable: dict[str, str], tag: str, entry: list[str]) -> None:
    from cdk.constructs.images import Image, python_command

    image = Image(tag, None, tag.endswith("-sagemaker"))
    command = python_command(image, BOOT, "s3://assets/abc.zip", "all", "shown.me", "s3://b/jobs/j-1/spec.json")
    with subprocess.Popen([*entry, *command], env=fetchable, stdout=subprocess.PIPE, text=True) as process:
        out, _ = process.communicate(timeout=60)
    # No shell stays between the container's first process and the program.
    assert out.split() == ["from", "the", "wheel", "s3://b/jobs/j-1/spec.json", str(process.pid)]
    assert process.returncode == 0


def test_a_cancelled_job_s_sigterm_reaches_the_program(fetchable: dict[str, str]) -> None:
    from cdk.constructs.images import Image, python_command

    command = python_command(Image("x", None, True), BOOT, "s3://assets/abc.zip", "all", "shown.waiting", "s")
    with subprocess.Popen([*EVALUATING, *command], env=fetchable, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(timeout=60) == 75


@pytest.mark.parametrize(
    ("fault", "said", "code"),
    [
        ("ClientError('503 Slow Down', 503)", "503 Slow Down", 75),
        ("ClientError('403 Forbidden', 403)", "403 Forbidden", 1),
        ("ClientError('404 Not Found', 404)", "404 Not Found", 1),
        ("BotoCoreError('no route')", "no route", 75),
    ],
)
def test_a_program_that_cannot_be_fetched_is_tried_again_unless_s3_refuses_it_for_good(
    fetchable: dict[str, str], tmp_path: Path, fault: str, said: str, code: int
) -> None:
    broken = f"from botocore.exceptions import BotoCoreError, ClientError\ndef client(s): raise {fault}\n"
    (tmp_path / "fake/boto3.py").write_text(broken)
    command = [sys.executable, "-c", BOOT, "s3://assets/abc.zip", "all", "shown.me", "spec"]
    done = subprocess.run(command, env=fetchable, capture_output=True, text=True)
    assert done.returncode == code
    assert f"can't fetch the program from s3://assets/abc.zip: {said}" in done.stderr
