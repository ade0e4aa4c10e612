"""The API's code as it travels: for its own processor, compiled, with nothing it doesn't need."""

from __future__ import annotations

import ast
import importlib.util
import json
import marshal
import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

from tests.cdk.service.conftest import NAME
from tests.cdk.templates import Template, one

ROOT = Path(__file__).parents[3]
MOST = 20_000_000
OURS = {"handler.py", "run.sh", "stack.toml", "__pycache__", "genai_stack"}


@pytest.fixture(scope="module")
def bundle(hosting_assembly: Path, template: Template) -> Path:
    key = one(template, "Lambda::Function")["Code"]["S3Key"]
    files = json.loads((hosting_assembly / f"{NAME}.assets.json").read_text())["files"]
    (path,) = (f["source"]["path"] for hash, f in files.items() if key.startswith(hash))
    return hosting_assembly / path


def sources(bundle: Path, suffix: str = "*.py") -> list[Path]:
    return [path for path in bundle.rglob(suffix) if "__pycache__" not in path.parts]


def test_it_is_small_when_it_travels(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "api.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        for path in bundle.rglob("*"):
            packed.write(path, path.relative_to(bundle))
    assert (tmp_path / "api.zip").stat().st_size < MOST


def test_it_carries_what_the_lock_file_pins_and_of_us_what_the_api_imports(bundle: Path) -> None:
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "requirements/api.txt").read_text(), re.MULTILINE)
    carried = {path.name.partition("-")[0] for path in bundle.glob("*.dist-info")}
    assert carried == {name.replace("-", "_") for name in pinned}
    rooms = {path.stem for path in (bundle / "genai_stack").iterdir()}
    assert {"service", "aws", "wiring", "protocol"} <= rooms
    assert not rooms & {"hosting", "training", "local", "client", "cli", "bulk"}
    assert not list((bundle / "genai_stack").rglob("*.safetensors"))
    assert not list(bundle.rglob("openvino*"))


def test_it_carries_no_source_of_what_is_compiled_and_no_service_nobody_asks(bundle: Path) -> None:
    kinds = {path.suffix for path in bundle.rglob("*") if path.is_file() and ".dist-info" not in str(path)}
    assert kinds <= {".py", ".pyc", ".so", ".sh", ".toml", ".json", ".gz", ".typed", ".pem", ".tmpl", ""}, kinds
    assert {path.name for path in bundle.iterdir() if path.name in OURS} == OURS
    models = {path.name for path in (bundle / "botocore/data").iterdir() if path.is_dir()}
    assert models == asked(bundle) | {"sagemaker-runtime"}


def asked(bundle: Path) -> set[str]:
    """The services that a client is made for in the modules that travel, but for those of other functions."""
    found = set()
    for path in (bundle / "genai_stack/aws").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "client"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return found


def test_every_library_fits_the_function(bundle: Path) -> None:
    native = list(bundle.rglob("*.so"))
    assert len(native) > 10
    assert all("aarch64" in library.name or "abi3" in library.name for library in native)


def test_every_module_has_byte_code_that_is_never_checked(bundle: Path) -> None:
    modules = sources(bundle)
    assert len(modules) > 400
    for source in modules:
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        content = cached.read_bytes()
        assert content[:4] == importlib.util.MAGIC_NUMBER
        assert content[4:8] == b"\x01\0\0\0", "hash-based and unchecked"
    code = marshal.loads(content[16:])
    assert code.co_filename.startswith("/var/task/")


def test_the_program_that_starts_it_is_executable_and_trusts_no_proxy(bundle: Path) -> None:
    start = bundle / "run.sh"
    assert os.access(start, os.X_OK)
    text = start.read_text()
    assert text.startswith("#!/bin/sh\n")
    assert "\r" not in text
    for option in ("--no-proxy-headers", "--no-access-log", "--host 127.0.0.1", "--no-server-header"):
        assert option in text
