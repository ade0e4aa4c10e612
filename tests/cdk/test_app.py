"""The app as a whole: synthesised anywhere, checked by linters, the same each time."""

from __future__ import annotations

import ast
import copy
import gc
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest

from genai_stack.config import StackConfig
from tests.cdk.conftest import NAME, read_template, synthesise
from tests.cdk.hosting.conftest import NAME as HOSTING
from tests.cdk.service.conftest import NAME as SERVICE
from tests.cdk.templates import Template, listed, of_type, plain, text

ROOT = Path(__file__).parents[2]


def assets(assembly: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((assembly / f"{NAME}.assets.json").read_text())
    return content


def test_two_syntheses_are_equal(assembly: Path, template: Template, tmp_path: Path) -> None:
    again = synthesise(tmp_path, StackConfig())
    assert read_template(again) == template
    assert assets(again) == assets(assembly)


def test_the_template_belongs_to_no_account_and_no_machine(assembly: Path) -> None:
    text = (assembly / f"{NAME}.template.json").read_text()
    registries = set(re.findall(r'"account": "(\d{12})"', text))
    assert set(re.findall(r"\b\d{12}\b", text)) <= registries
    assert str(ROOT) not in text
    manifest = json.loads((assembly / "manifest.json").read_text())
    assert manifest["artifacts"][NAME]["environment"] == "aws://unknown-account/unknown-region"


def test_cdk_nag_has_nothing_to_say(assembly: Path) -> None:
    """Synthesis fails on a finding; this holds that the rules ran."""
    reports = json.loads((assembly / "validation-report.json").read_text())
    assert "AwsSolutions" in json.dumps(reports) or not reports.get("pluginReports")
    assert all(r["conclusion"] == "success" for r in reports.get("pluginReports", ()))


def test_every_acknowledgement_says_why() -> None:
    reasons = []
    for path in (ROOT / "cdk" / "constructs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").startswith("acknowledge"):
                reasons.append(node.args[-1])
    assert len(reasons) >= 10
    for reason in reasons:
        assert not isinstance(reason, ast.Constant) or (isinstance(reason.value, str) and " " in reason.value)


def test_cdk_imports_the_package_s_leaves_alone_and_nothing_imports_cdk() -> None:
    leaves = {
        "genai_stack",
        *(
            f"genai_stack.{leaf}"
            for leaf in (
                "config",
                "errors",
                "gateway",
                "machines",
                "managed",
                "catalogue",
                "containers",
                "registries",
                "task_prompts",
                "task_prompts.overrides",
            )
        ),
    }
    for path in (ROOT / "cdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.ImportFrom)
                and node.level == 0
                and (node.module or "").startswith("genai_stack")
            ):
                assert node.module in leaves, path.name
                assert node.module != "genai_stack" or {a.name for a in node.names} <= {
                    "names",
                    "choices",
                    "sources",
                }, path.name
    for path in (ROOT / "src").rglob("*.py"):
        assert not re.search(r"^\s*(from|import) (aws_cdk|cdk)\b", path.read_text(), re.MULTILINE), path.name


@pytest.mark.slow
def test_cfn_lint_finds_nothing_in_any_layer(assembly: Path, hosting_assembly: Path) -> None:
    layers = [f"{assembly / NAME}.template.json"]
    layers += [f"{hosting_assembly / name}.template.json" for name in (HOSTING, SERVICE)]
    # W3005: the L2 function names its role's creation twice, and no setting tells it not to.
    run = "import sys; from cfnlint.runner import main; sys.exit(main())"
    command = [sys.executable, "-c", run, "--ignore-checks", "W3005", "--", *layers]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# parliament leaves the files it loads to the garbage collector, and doesn't compile without a warning.
AUDIT = pytest.mark.filterwarnings(
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore::DeprecationWarning",
    "ignore::SyntaxWarning",
)


NEWER = ("UNKNOWN_PREFIX", "Unknown prefix s3vectors")
"""What the audit says because its list of services is older than S3 Vectors."""


def audited(template: Template, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What parliament finds in a template's rights: where, which issue, and its details. It knows IAM's actions, the
    resources each takes and the conditions it has. All rights stand in policies of their own."""
    parliament = _parliament(monkeypatch)
    assert not [*of_type(template, "IAM::ManagedPolicy"), *of_type(template, "IAM::User")]
    assert not [id for id, role in of_type(template, "IAM::Role").items() if "Policies" in role]
    found = []
    for id, policy in of_type(template, "IAM::Policy").items():
        document = json.loads(json.dumps(policy["PolicyDocument"]))
        for statement in document["Statement"]:
            statement["Resource"] = [_concrete(text(r)) for r in listed(statement["Resource"])]
        for finding in parliament.analyze_policy_string(json.dumps(document)).findings:
            if (finding.issue, finding.detail) != NEWER:
                found.append((plain(id), finding.issue, str(finding.detail)))
    return found


@AUDIT
def test_the_iam_audit_finds_nothing(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    assert audited(template, monkeypatch) == []


@AUDIT
def test_the_iam_audit_finds_what_is_wrong(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = copy.deepcopy(template)
    policy = next(iter(of_type(changed, "IAM::Policy").values()))
    policy["PolicyDocument"]["Statement"] = [
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:Everything", "Resource": "*"},
        {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket"},
    ]
    assert {issue for _, issue, _ in audited(changed, monkeypatch)} >= {
        *("RESOURCE_STAR", "UNKNOWN_ACTION", "RESOURCE_MISMATCH"),
    }


def _parliament(monkeypatch: pytest.MonkeyPatch) -> Any:
    """parliament finds its data by a module that setuptools has dropped; the one function it needs stands in."""
    stand_in = types.ModuleType("pkg_resources")
    where = importlib.util.find_spec("parliament")
    assert where
    assert where.origin
    folder = Path(where.origin).parent
    vars(stand_in)["resource_filename"] = lambda package, name: str(folder / name)
    monkeypatch.setitem(sys.modules, "pkg_resources", stand_in)
    with warnings.catch_warnings():
        # Its own escape sequences, seen when it is first compiled.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", SyntaxWarning)
        parliament = importlib.import_module("parliament")
    gc.collect()
    return parliament


def _concrete(arn: str) -> str:
    """An ARN of one account in place of references, as the audit wants to read it."""
    known = {
        "<AWS::Partition>": "aws",
        "<AWS::Region>": "us-east-1",
        "<AWS::AccountId>": "123456789012",
        "${AWS::AccountId}": "123456789012",
        "${AWS::Region}": "us-east-1",
        "<Registries>": "763104351884",
        "<StorageArtefacts.Arn>": "arn:aws:s3:::artefacts",
        "<StorageKey.Arn>": "arn:aws:kms:us-east-1:123456789012:key/0",
        "<StorageVectors.VectorBucketArn>": "arn:aws:s3vectors:us-east-1:123456789012:bucket/vectors",
        "<StorageRecords.Arn>": "arn:aws:dynamodb:us-east-1:123456789012:table/records",
    }
    for reference, value in known.items():
        arn = arn.replace(reference, value)
    arn = re.sub(r"<\w+Log\.Arn>", "arn:aws:logs:us-east-1:123456789012:log-group:log:*", arn)
    arn = re.sub(r"<\w+Failed\.Arn>", "arn:aws:sqs:us-east-1:123456789012:failed", arn)
    arn = re.sub(r"<\w+\.JobQueueArn>", "arn:aws:batch:us-east-1:123456789012:job-queue/queue", arn)
    arn = re.sub(
        r"<\w+\.ComputeEnvironmentArn>", "arn:aws:batch:us-east-1:123456789012:compute-environment/e", arn
    )
    arn = re.sub(r"<\w+(Topic|Told)>", "arn:aws:sns:us-east-1:123456789012:topic", arn)
    arn = re.sub(r"<\w+Role\.Arn>", "arn:aws:iam::123456789012:role/role", arn)
    arn = re.sub(r"<\w+Function\.Arn>", "arn:aws:lambda:us-east-1:123456789012:function:function", arn)
    arn = re.sub(r"<SsmParameterValue\w+definition\w+>\[5\]", "job-definition/definition", arn)
    arn = re.sub(r"<SsmParameterValue\w+queue\w+>", "arn:aws:batch:us-east-1:123456789012:job-queue/queue", arn)
    assert "<" not in arn, arn
    return arn


def test_cdk_json_s_command_synthesises_for_the_stage_asked(tmp_path: Path) -> None:
    """As the CLI calls it: outdir and context come by environment; a configuration that is wrong stops it."""
    command = json.loads((ROOT / "cdk.json").read_text())["app"].split()
    assert command[0] == "python"
    config = tmp_path / "stack.toml"
    config.write_text("[training.spot]\nmax_vcpu = 3\n")
    context = json.dumps({"stage": "prod", "config": str(config)})
    environment = {**os.environ, "CDK_OUTDIR": str(tmp_path / "out"), "CDK_CONTEXT_JSON": context}
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "unknown key 'max_vcpu' in [training.spot]; did you mean 'max_vcpus'" in done.stderr


@pytest.mark.parametrize("stage", ["a-b", "Prod", "../x", "*"])
def test_a_name_that_no_stage_may_have_stops_it(
    stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import aws_cdk

    from cdk import app

    made = aws_cdk.App(outdir=str(tmp_path), context={"stage": stage})
    monkeypatch.setattr(app, "new_app", lambda: made)
    with pytest.raises(SystemExit, match="can't be a stage's name: up to 16 small letters and digits"):
        app.main()
    assert not list(tmp_path.glob("*.template.json"))


def test_a_stage_is_in_every_name(reserved: Template) -> None:
    names = [
        r["Properties"]["Name"] for r in reserved["Resources"].values() if r["Type"] == "AWS::SSM::Parameter"
    ]
    assert len(names) == 14
    assert all(name.startswith("/genai-stack/prod/training/") for name in names)
    assert "genai-stack/dev" not in json.dumps(reserved)
