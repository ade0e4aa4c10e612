"""The service stack as a whole: linters, the IAM audit, and no setting that changes unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cdk.service import test_function, test_gateway
from tests.cdk.service.conftest import NAME
from tests.cdk.templates import Template, listed, of_type, text
from tests.cdk.test_app import _concrete, _parliament
from tests.cdk.test_mutations import checks, settings, unnoticed

MODULES = (test_gateway, test_function)


def test_cdk_nag_has_nothing_to_say(hosting_assembly: Path) -> None:
    """Synthesis fails on a finding; this holds that the rules ran."""
    reports = json.loads((hosting_assembly / "validation-report.json").read_text())
    assert all(r["conclusion"] == "success" for r in reports.get("pluginReports", ()))


@pytest.mark.slow
def test_cfn_lint_finds_nothing(hosting_assembly: Path) -> None:
    # W3005: the L2 function names its role's creation twice, and no setting tells it not to.
    run = "import sys; from cfnlint.runner import main; sys.exit(main())"
    template = f"{hosting_assembly / NAME}.template.json"
    command = [sys.executable, "-c", run, "--ignore-checks", "W3005", "--", template]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# parliament leaves the files it loads to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_iam_audit_finds_nothing(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    parliament = _parliament(monkeypatch)
    for id, policy in of_type(template, "IAM::Policy").items():
        document = json.loads(json.dumps(policy["PolicyDocument"]))
        for statement in document["Statement"]:
            statement["Resource"] = [_concrete(text(r)) for r in listed(statement["Resource"])]
        audited = parliament.analyze_policy_string(json.dumps(document))
        found = [f for f in audited.findings if f.issue != "RESOURCE_STAR" and not _newer(f)]
        assert not found, (id, found)


def _newer(finding: Any) -> bool:
    """The audit's list of services is older than S3 Vectors."""
    return finding.issue == "UNKNOWN_PREFIX" and finding.detail == "Unknown prefix s3vectors"


def test_every_check_passes_on_what_is(template: Template, reserved: Template) -> None:
    tests = checks(reserved, MODULES)
    assert len(tests) > 15
    for test in tests:
        test(template=template)


def test_no_setting_changes_unnoticed(template: Template, reserved: Template) -> None:
    assert sum(1 for _ in settings(template)) > 200
    assert unnoticed(template, checks(reserved, MODULES)) == []
