"""The composition root: a whole stack from one directory, and nothing heavy loaded to get it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from genai_stack.config import parse_config
from genai_stack.wiring import local_services

LIGHT = """
import sys
from pathlib import Path
from genai_stack.wiring import local_services
services = local_services(Path(sys.argv[1]))
assert services.jobs.list() == []
heavy = {"torch", "openvino", "openvino_genai", "transformers", "boto3", "starlette"} & set(sys.modules)
assert not heavy, heavy
"""
RUNNER = """
import sys
import genai_stack.local.runner
heavy = {"torch", "aiohttp", "openvino", "transformers", "boto3", "starlette"} & set(sys.modules)
assert not heavy, heavy
"""


async def test_a_stack_remembers(tmp_path: Path) -> None:
    services = local_services(tmp_path / "home")
    services.records.put("things", "a", {"x": 1})
    services.objects.put("files/a", b"data")
    again = local_services(tmp_path / "home")
    assert again.records.get("things", "a") == services.records.get("things", "a")
    assert again.objects.get("files/a") == b"data"
    assert await again.models.live() == []
    await services.models.close()
    await again.models.close()


def test_the_configuration_names_the_models(tmp_path: Path) -> None:
    config = parse_config(
        """
        [local]
        threads = 3
        [[model]]
        name = "mine"
        source = "builtin"
        """
    )
    services = local_services(tmp_path, config)
    assert [version.name for version in services.registry.list()] == ["mine"]


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    for program in (LIGHT, RUNNER):
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
