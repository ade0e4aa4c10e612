"""The service stack's templates take the place of the training stack's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cdk.conftest import read_template

NAME = "GenaiStack-Service"


@pytest.fixture(scope="session")
def template(hosting_assembly: Path) -> Iterator[dict[str, Any]]:
    """The service stack's template, before three hosted models. Nobody changes it."""
    content = read_template(hosting_assembly, NAME)
    before = json.dumps(content, sort_keys=True)
    yield content
    assert json.dumps(content, sort_keys=True) == before


@pytest.fixture(scope="session")
def reserved(reserved_assembly: Path) -> dict[str, Any]:
    """That of another stage, which sets no functions aside."""
    return read_template(reserved_assembly, NAME)


@pytest.fixture(scope="session")
def bare(assembly: Path) -> dict[str, Any]:
    """That of a stage which hosts nothing."""
    return read_template(assembly, NAME)
