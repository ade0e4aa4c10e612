"""Clients that people use, unmodified, in an environment of their own (.venv-clients, made by `make test`)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.live import Live, environment

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-clients" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-clients; run: make test")
@pytest.mark.parametrize("script", sorted((HERE / "clients").glob("with_*.py")), ids=lambda path: path.stem)
def test_a_client_gets_what_it_expects(live: Live, script: Path, tmp_path: Path) -> None:
    told = environment(
        tmp_path,
        GENAI_STACK_BASE_URL=live.base_url,
        GENAI_STACK_API_KEY=live.key,
        LITELLM_LOCAL_MODEL_COST_MAP="True",
        LANGSMITH_TRACING="false",
    )
    result = subprocess.run(
        [PYTHON, str(script)], env=told, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
