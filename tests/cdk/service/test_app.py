"""The service stack as a whole: cdk-nag, the IAM audit, and no setting that changes unnoticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cdk.service import test_function, test_gateway
from tests.cdk.templates import Template
from tests.cdk.test_app import AUDIT, audited
from tests.cdk.test_mutations import checks, removed_unnoticed, settings, unnoticed

MODULES = (test_gateway, test_function)


def test_cdk_nag_has_nothing_to_say(hosting_assembly: Path) -> None:
    """Synthesis fails on a finding; this holds that the rules ran."""
    reports = json.loads((hosting_assembly / "validation-report.json").read_text())
    assert all(r["conclusion"] == "success" for r in reports.get("pluginReports", ()))


@AUDIT
def test_the_iam_audit_finds_nothing(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    assert audited(template, monkeypatch) == []


def test_every_check_passes_on_what_is(template: Template, reserved: Template) -> None:
    tests = checks(reserved, MODULES)
    assert len(tests) > 15
    for test in tests:
        test(template=template)


def test_no_setting_changes_unnoticed(template: Template, reserved: Template) -> None:
    assert sum(1 for _ in settings(template)) > 200
    assert unnoticed(template, checks(reserved, MODULES)) == []


def test_nothing_is_taken_out_unnoticed(template: Template, reserved: Template) -> None:
    assert "FirewallAssociation" in removed_unnoticed(template, [])
    assert removed_unnoticed(template, checks(reserved, MODULES)) == []
