"""The hosting stack as a whole: cdk-nag, the IAM audit, and no setting that changes unnoticed."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from genai_stack.errors import ConfigError
from tests.cdk.hosting import test_endpoints, test_rights
from tests.cdk.templates import Template
from tests.cdk.test_app import AUDIT, audited
from tests.cdk.test_mutations import checks, removed_unnoticed, settings, unnoticed

MODULES = (test_endpoints, test_rights)


def test_cdk_nag_has_nothing_to_say(hosting_assembly: Path) -> None:
    """Synthesis fails on a finding; this holds that the rules ran."""
    reports = json.loads((hosting_assembly / "validation-report.json").read_text())
    assert all(r["conclusion"] == "success" for r in reports.get("pluginReports", ()))


EXCUSED = {
    ("big2a21fe6d59RoleDefaultPolicy", "RESOURCE_STAR"): {
        *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface"),
    },
}
"""SageMaker makes a model's network interface as its role, and names it then; its guide asks for these on `*`, and what
narrower resources it gets along with was never tried."""


@AUDIT
def test_the_iam_audit_finds_nothing_else(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    found = audited(template, monkeypatch)
    assert {(where, issue): set(ast.literal_eval(detail)) for where, issue, detail in found} == EXCUSED


def test_every_check_passes_on_what_is(template: Template, reserved: Template) -> None:
    tests = checks(reserved, MODULES)
    assert len(tests) > 20
    for test in tests:
        test(template=template)


def test_no_setting_changes_unnoticed(template: Template, reserved: Template) -> None:
    assert sum(1 for _ in settings(template)) > 300
    assert unnoticed(template, checks(reserved, MODULES)) == []


def test_nothing_is_taken_out_unnoticed(template: Template, reserved: Template) -> None:
    assert removed_unnoticed(template, checks(reserved, MODULES)) == []


def test_what_the_cli_s_region_lacks_stops_it_at_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cdk.app import configuration

    path = tmp_path / "stack.toml"
    path.write_text("[[model]]\nname = 'q'\nsource = 'hf://Qwen/Qwen3-4B'\ninstance = 'g6e.xlarge'\n")
    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-west-1")
    assert configuration(str(path)).hosted_models
    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-east-9")
    with pytest.raises(ConfigError, match=r"stack.toml:4: model\[0\].instance: AWS keeps no containers for"):
        configuration(str(path))
