"""`genai-stack doctor --stage` over a loopback account, fit and unfit, and one that doesn't let itself be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from genai_stack import names
from genai_stack.aws.checks.account import BOOTSTRAP, SPOT_ROLE
from genai_stack.aws.checks.stage import caller
from genai_stack.choices import hosted
from genai_stack.cli.root import root
from genai_stack.config import parse_config
from genai_stack.containers import TEXT, TRAINING
from genai_stack.findings import Finding
from tests.aws.account import Account, Answer, Request
from tests.aws.conftest import TRUST

JSON = {"content-type": "application/x-amz-json-1.1"}
CONFIG = """
[[model]]
name = "chat"
source = "hf://Qwen/Qwen3-4B"
instance = "g6e.xlarge"
max = 2
"""
ENOUGH = {
    "ec2": {
        "Running On-Demand G and VT instances": 192.0,
        "All G and VT Spot Instance Requests": 64.0,
        "All P5 Spot Instance Requests": 192.0,
        "All P4, P3 and P2 Spot Instance Requests": 8.0,
    },
    "sagemaker": {"ml.g6e.xlarge for endpoint usage": 3.0, "ml.g6e.xlarge for training job usage": 0.0},
}


class Fit:
    """A fault for `Account.broken`: what moto lacks, as an account that is fit answers it."""

    def __init__(self) -> None:
        self.quotas = json.loads(json.dumps(ENOUGH))
        self.functions = 1000
        self.images = {f"{one.repository}:{one.tag}" for one in (TRAINING, TEXT)}
        self.repositories = {TRAINING.repository, TEXT.repository}

    def __call__(self, request: Request) -> Answer | None:
        if request.operation == "ListServiceQuotas":
            return self._listed(json.loads(request.body))
        if request.path.endswith("/account-settings/") or request.path.endswith("/account-settings"):
            limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": self.functions}
            return _said({"AccountLimit": limit})
        if request.operation == "BatchGetImage":
            return self._image(json.loads(request.body))
        return None

    def _listed(self, body: dict[str, Any]) -> Answer:
        """One a page."""
        found = list(self.quotas[body["ServiceCode"]].items())
        at = int(body.get("NextToken", 0))
        more = {"NextToken": str(at + 1)} if at + 1 < len(found) else {}
        return _said({"Quotas": [{"QuotaName": n, "Value": v} for n, v in found[at : at + 1]], **more})

    def _image(self, body: dict[str, Any]) -> Answer:
        assert body["registryId"] == "763104351884"
        if body["repositoryName"] not in self.repositories:
            refused = {"__type": "RepositoryNotFoundException", "message": "no such repository"}
            return Answer(400, JSON, json.dumps(refused).encode())
        (wanted,) = body["imageIds"]
        if f"{body['repositoryName']}:{wanted['imageTag']}" in self.images:
            return _said({"images": [{"imageId": wanted}], "failures": []})
        failure = {
            "imageId": wanted,
            "failureCode": "ImageNotFound",
            "failureReason": "Requested image not found",
        }
        return _said({"images": [], "failures": [failure]})


def _said(value: dict[str, Any]) -> Answer:
    return Answer(200, JSON, json.dumps(value).encode())


def refusing(service: str) -> Any:
    """What each protocol says when a call isn't allowed."""

    def fault(request: Request) -> Answer | None:
        if request.service != service:
            return None
        if service == "ec2":
            body = "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>"
            return Answer(403, {"content-type": "text/xml"}, body.encode())
        if service == "iam":
            body = (
                "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
            )
            return Answer(403, {"content-type": "text/xml"}, body.encode())
        said = b'{"__type": "AccessDeniedException", "message": "no"}'
        return Answer(403, JSON | {"x-amzn-errortype": "AccessDeniedException"}, said)

    return fault


@pytest.fixture
def fit(aws: Account, quick: None) -> Iterator[Fit]:
    iam, ssm = aws.client("iam"), aws.client("ssm")
    if not any(one["RoleName"] == SPOT_ROLE for one in iam.list_roles()["Roles"]):
        iam.create_role(RoleName=SPOT_ROLE, AssumeRolePolicyDocument=TRUST)
    ssm.put_parameter(Name=BOOTSTRAP, Value="30", Type="String", Overwrite=True)
    made = Fit()
    with aws.broken(made):
        yield made
    ssm.delete_parameter(Name=BOOTSTRAP)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that isn't deployed, and whose stack.toml hosts a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stack.toml").write_text(CONFIG)
    return f"s{abs(hash(str(tmp_path))) % 10**8}"


def doctor(stage: str, *more: str) -> tuple[int, list[Finding]]:
    told = CliRunner().invoke(root, ["doctor", "--stage", stage, "--json", *more], catch_exceptions=False)
    return told.exit_code, msgspec.json.decode(told.stdout, type=list[Finding])


def those(found: list[Finding], state: str) -> list[tuple[str, str]]:
    return [(one.topic, one.found) for one in found if one.state == state]


def test_a_fit_account_has_nothing_against_it(fit: Fit, stage: str) -> None:
    code, found = doctor(stage)
    assert those(found, "fail") == []
    assert code == 0
    assert [topic for topic, _ in those(found, "warn")] == ["price"], "of another region"
    topics = {one.topic for one in found}
    assert topics >= {"credentials", "region", "cdk bootstrap", "spot role", "functions", "quota", "zones"}
    assert topics >= {"image", "model", "deployed", "price", "idle price"}
    assert any("2.61 USD an hour for each ml.g6e.xlarge" in one.found for one in found)
    told = CliRunner().invoke(root, ["doctor", "--stage", stage], catch_exceptions=False).output
    assert f"deploy GenaiStack-Service -c stage={stage}" in told


def test_too_small_a_quota_fails_and_a_tight_one_warns(fit: Fit, stage: str) -> None:
    fit.quotas["ec2"]["All G and VT Spot Instance Requests"] = 0.0
    fit.quotas["ec2"]["Running On-Demand G and VT instances"] = 96.0
    fit.quotas["sagemaker"]["ml.g6e.xlarge for endpoint usage"] = 1.0
    code, found = doctor(stage)
    assert code == 1
    (failed,) = (one for one in found if one.state == "fail")
    assert "spot queue: 0 vCPUs" in failed.found
    assert failed.next == 'ask for 64 under Service Quotas, Amazon EC2: "All G and VT Spot Instance Requests"'
    warned = [text for topic, text in those(found, "warn") if topic == "quota"]
    assert [text.partition(":")[0] for text in warned] == ["multi-node queue", "chat"]
    fit.quotas["sagemaker"] = {"ml.g6e.xlarge for endpoint usage": 0.0}
    assert any("chat: 0 ml.g6e.xlarge" in text for _, text in those(doctor(stage)[1], "fail"))
    fit.quotas["sagemaker"] = {"something else": 1.0}
    assert any("tells of no g6e.xlarge" in text for _, text in those(doctor(stage)[1], "warn"))


def test_p_machines_have_quotas_by_generation(fit: Fit, stage: str, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(
        '[training.spot]\ninstances = ["p5.48xlarge"]\nmax_vcpus = 192\n'
        '[training.multi_node]\ninstance = "p4d.24xlarge"\n'
    )
    _, found = doctor(stage)
    told = [one.found for one in found if one.topic == "quota"]
    assert any("192 vCPUs of All P5 Spot Instance Requests" in text for text in told)
    assert any('no "Running On-Demand P instances"' in text for text in told)


def test_each_machine_of_the_spot_queue_has_its_quota_looked_at(fit: Fit, stage: str, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(
        '[training.spot]\ninstances = ["g6e.2xlarge", "g6e.4xlarge", "p4d.24xlarge", "p5.48xlarge"]\n'
        "max_vcpus = 192\n"
    )
    code, found = doctor(stage)
    told = {one.found: (one.state, one.next) for one in found if one.found.startswith("spot queue (")}
    ask = "ask for 192 under Service Quotas, Amazon EC2: "
    assert told == {
        "spot queue (g6e.2xlarge, g6e.4xlarge): 64 vCPUs of All G and VT Spot Instance Requests; a job takes 8, "
        "all together 192": ("warn", f'{ask}"All G and VT Spot Instance Requests"'),
        "spot queue (p4d.24xlarge): 8 vCPUs of All P4, P3 and P2 Spot Instance Requests; a job takes 96, "
        "all together 192": ("warn", f'{ask}"All P4, P3 and P2 Spot Instance Requests"'),
        "spot queue (p5.48xlarge): 192 vCPUs of All P5 Spot Instance Requests; a job takes 192, "
        "all together 192": ("ok", ""),
    }
    assert code == 0, "Batch takes what it gets"
    fit.quotas["ec2"] |= {name: 4.0 for name in fit.quotas["ec2"] if "Spot" in name}
    code, found = doctor(stage)
    assert [one.state for one in found if one.found.startswith("spot queue (")] == ["fail"] * 3
    assert code == 1


def test_what_the_account_lacks_is_told_with_the_command(aws: Account, fit: Fit, stage: str) -> None:
    aws.client("ssm").put_parameter(Name=BOOTSTRAP, Value="5", Type="String", Overwrite=True)
    aws.client("iam").delete_role(RoleName=SPOT_ROLE)
    fit.functions = 150
    fit.images.pop()
    code, found = doctor(stage)
    failed = {one.topic: one for one in found if one.state == "fail"}
    assert code == 1
    assert set(failed) == {"cdk bootstrap", "spot role", "functions", "image"}
    assert "bootstrap aws://123456789012/eu-central-1" in failed["cdk bootstrap"].next
    assert "create-service-linked-role" in failed["spot role"].next
    assert "of 150" in failed["functions"].found
    assert "Requested image not found" in failed["image"].found
    aws.client("ssm").delete_parameter(Name=BOOTSTRAP)
    fit.repositories.clear()
    _, found = doctor(stage)
    assert ("cdk bootstrap", "eu-central-1 isn't bootstrapped") in those(found, "fail")
    assert sum("there is no repository" in text for _, text in those(found, "fail")) == 2
    aws.client("ssm").put_parameter(Name=BOOTSTRAP, Value="30", Type="String")


@pytest.mark.parametrize(
    ("service", "actions"),
    [
        ("ssm", {"ssm:GetParameter", "ssm:GetParametersByPath"}),
        ("iam", {"iam:GetRole"}),
        ("lambda", {"lambda:GetAccountSettings"}),
        ("servicequotas", {"servicequotas:ListServiceQuotas"}),
        ("ec2", {"ec2:DescribeAvailabilityZones"}),
        ("ecr", {"ecr:BatchGetImage"}),
    ],
)
def test_a_denied_call_is_a_warning_that_names_the_action(
    aws: Account, fit: Fit, stage: str, service: str, actions: set[str]
) -> None:
    with _first(aws, refusing(service)):
        code, found = doctor(stage)
    assert code == 0
    named = {one.next.removeprefix("allow ") for one in found if one.next.startswith("allow ")}
    assert named == actions
    assert all(one.state == "warn" for one in found if one.next.startswith("allow "))
    assert {one.topic for one in found} >= {"price", "model", "region"}, "the rest goes on"


def _first(aws: Account, fault: Any) -> Any:
    """A fault that is seen before those there are."""
    context = aws.broken(fault)

    class Before:
        def __enter__(self) -> None:
            context.__enter__()
            aws.faults.insert(0, aws.faults.pop())

        def __exit__(self, *why: Any) -> None:
            context.__exit__(*why)

    return Before()


def test_a_service_that_is_down_is_a_warning(aws: Account, fit: Fit, stage: str) -> None:
    """Two are, and one breaks off in the middle of an answer."""

    def broken(request: Request) -> Answer | None:
        if request.service == "ec2":
            return Answer(200, {"content-type": "text/xml"}, b"<Describe", close=True)
        return Answer(500, JSON, b"{}") if request.service in ("ecr", "servicequotas") else None

    with _first(aws, broken):
        code, found = doctor(stage)
    assert code == 0
    assert {topic for topic, _ in those(found, "warn")} >= {"quota", "zones", "image"}


def test_who_has_no_credentials_is_told_and_nobody_else_is_asked(
    aws: Account, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expired(request: Request) -> Answer:
        body = "<ErrorResponse><Error><Code>ExpiredToken</Code><Message>no</Message></Error></ErrorResponse>"
        return Answer(403, {"content-type": "text/xml"}, body.encode())

    with aws.broken(expired) as hit:
        code, found = doctor(stage)
    assert (code, len(hit)) == (1, 1)
    assert [(one.topic, one.state, one.next) for one in found] == [("credentials", "fail", "renew them")]

    def disabled(request: Request) -> Answer:
        body = "<ErrorResponse><Error><Code>RegionDisabledException</Code></Error></ErrorResponse>"
        return Answer(403, {"content-type": "text/xml"}, body.encode())

    with aws.broken(disabled):
        code, found = doctor(stage)
    assert (code, [(one.topic, one.state) for one in found]) == (1, [("credentials", "fail")])
    monkeypatch.setattr("genai_stack.aws.session.credentials", lambda: None)
    assert caller(_nobody).finding.state == "fail"


def _nobody(service: str) -> Any:
    from botocore.exceptions import NoCredentialsError

    raise NoCredentialsError


def test_a_stage_that_is_deployed_is_compared_with_what_is_asked(
    aws: Account, fit: Fit, stage: str, tmp_path: Path
) -> None:
    ssm, (model,) = aws.client("ssm"), parse_config(CONFIG).hosted_models
    value = msgspec.json.encode(hosted(model, "endpoint", "role", "image", ())).decode()
    ssm.put_parameter(Name=names.parameter(stage, "hosting", names.hosted("chat")), Value=value, Type="String")
    ssm.put_parameter(Name=names.parameter(stage, "service", "api-url"), Value="https://x/v1", Type="String")
    _, found = doctor(stage)
    told = [(one.state, one.found) for one in found if one.topic == "deployed"]
    assert told == [
        ("ok", "training isn't there yet"),
        ("ok", "hosting: chat"),
        ("ok", "service: https://x/v1"),
    ]
    (tmp_path / "stack.toml").write_text(CONFIG.replace('"chat"', '"other"'))
    _, found = doctor(stage)
    assert ("deployed", "hosting: 1 models, without other") in those(found, "warn")


def test_functions_that_the_api_has_are_no_longer_free(aws: Account, fit: Fit, stage: str) -> None:
    fit.functions = 150
    assert [topic for topic, _ in those(doctor(stage)[1], "fail")] == ["functions"]
    name = names.parameter(stage, "service", "api-url")
    aws.client("ssm").put_parameter(Name=name, Value="https://x/v1", Type="String")
    code, found = doctor(stage)
    assert code == 0
    assert ("functions", "the API has its functions, and 150 more are free") in those(found, "ok")


def test_a_model_that_doesnt_fit_fails_before_anything_is_asked(fit: Fit, stage: str, tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(CONFIG.replace("Qwen3-4B", "Qwen3-235B"))
    code, found = doctor(stage)
    assert code == 1
    assert [one.topic for one in found] == ["credentials", "stack.toml", "stage"]
    assert "GiB on" in found[1].found


def test_home_is_of_this_machine(stage: str) -> None:
    told = CliRunner().invoke(root, ["doctor", "--stage", stage, "--home", "x"])
    assert told.exit_code == 2
    assert "give one of them" in told.output


def test_the_templates_of_a_stage_tell_its_idle_price(fit: Fit, stage: str, tmp_path: Path) -> None:
    out = tmp_path / "cdk.out"
    out.mkdir()
    resources = {"K": {"Type": "AWS::KMS::Key"}, "N": {"Type": "AWS::New::Thing"}}
    (out / "S.template.json").write_text(json.dumps({"Resources": resources}))
    properties = {"templateFile": "S.template.json", "stackName": "S", "tags": {names.STAGE_TAG: stage}}
    artifact = {"type": "aws:cloudformation:stack", "properties": properties}
    (out / "manifest.json").write_text(json.dumps({"artifacts": {"S": artifact}}))
    _, found = doctor(stage)
    assert any("1.00 USD a month" in text and "1 without a price" in text for _, text in those(found, "warn"))


def test_a_model_without_machines_has_an_image_and_its_memory(
    aws: Account, fit: Fit, stage: str, tmp_path: Path
) -> None:
    more = '[[model]]\nname = "open"\nsource = "builtin"\ntask = "anatomy"\nmax = 4\n'
    (tmp_path / "stack.toml").write_text(CONFIG + more)
    _, found = doctor(stage)
    assert ("model", "open has 3072 MB, and takes 4 texts at once") in those(found, "ok")
    assert [one for one in found if one.topic == "image" and one.found.startswith("open: ")]
    assert not [one for one in found if one.topic in ("quota", "zones") and "open:" in one.found]
