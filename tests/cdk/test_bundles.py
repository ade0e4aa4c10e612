"""What travels: the program with what its image lacks, and functions with nothing they don't need."""

from __future__ import annotations

import ast
import importlib.util
import json
import marshal
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from genai_stack.containers import TRAINING
from genai_stack.errors import GenAIStackError
from tests.cdk.conftest import NAME
from tests.cdk.templates import Template, of_type

ROOT = Path(__file__).parents[2]


def asset(assembly: Path, key: str) -> Path:
    files = json.loads((assembly / f"{NAME}.assets.json").read_text())["files"]
    (path,) = (f["source"]["path"] for hash, f in files.items() if key.startswith(hash))
    return assembly / path


@pytest.fixture(scope="module")
def program(assembly: Path, template: Template) -> Path:
    functions = {p["Code"]["S3Key"] for p in of_type(template, "Lambda::Function").values()}
    files = json.loads((assembly / f"{NAME}.assets.json").read_text())["files"]
    (path,) = (
        f["source"]["path"]
        for hash, f in files.items()
        if f"{hash}.zip" not in functions and f["source"]["packaging"] == "zip"
    )
    return assembly / path


@pytest.fixture(scope="module", params=["Events", "Budget"])
def function(request: pytest.FixtureRequest, assembly: Path, template: Template) -> Path:
    found = of_type(template, "Lambda::Function")
    (properties,) = (p for id, p in found.items() if id.startswith(request.param))
    return asset(assembly, properties["Code"]["S3Key"])


def test_the_program_has_the_base_it_trains_by_default_and_no_engine_it_can_t_run(program: Path) -> None:
    model = program / "genai_stack" / "builtin" / "model"
    assert (model / "model.safetensors").stat().st_size > 1 << 20
    assert not list(program.rglob("openvino"))
    assert not list(program.rglob("__pycache__"))
    assert {p.name for p in program.iterdir()} == {"genai_stack", "packages"}
    assert {p.name for p in (program / "packages").iterdir()} == {"all", "train", "evaluate"}


def test_the_program_s_wheels_fit_the_image(program: Path) -> None:
    from cdk.constructs.images import PYTHON

    assert "amzn2023" in TRAINING.tag  # glibc 2.34
    wheels = sorted((program / "packages").rglob("*.whl"))
    assert len(wheels) > 20
    version = "cp" + PYTHON.replace(".", "")
    for wheel in wheels:
        python, abi, platform = wheel.stem.split("-")[-3:]
        assert abi in (version, "abi3", "none"), wheel.name
        assert "py3" in python or python == version or abi == "abi3", wheel.name
        assert platform == "any" or "x86_64" in platform, wheel.name


def imported(folder: Path) -> set[str]:
    """Top-level packages a room imports, anywhere in it."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"genai_stack"}


LOCAL = {"openvino", "openvino_genai", "openvino_tokenizers"}
"""Engines of this machine, imported by what no container runs."""


@pytest.mark.parametrize("room", ["training", "bulk"])
def test_everything_a_job_imports_is_in_the_image_or_travels(program: Path, room: str) -> None:
    from cdk.constructs.images import PACKAGES

    folder = ROOT / "src" / "genai_stack" / room
    if not folder.exists():
        pytest.skip(f"{room} isn't built")
    carried = {w.name.partition("-")[0].lower() for w in (program / "packages").rglob("*.whl")}
    assert imported(folder) - LOCAL <= PACKAGES | carried


def test_a_function_carries_what_it_imports_and_nothing_else(function: Path) -> None:
    top = {p.name for p in function.iterdir()}
    assert top == {"handler.py", "__pycache__", "genai_stack", "msgspec", "msgspec-0.22.0.dist-info"}
    rooms = {p.stem for p in (function / "genai_stack").iterdir()} - {"__pycache__", "__init__"}
    assert not rooms & {"service", "hosting", "training", "local", "client", "cli", "builtin", "bulk"}
    assert {"aws", "settings", "errors"} <= rooms
    native = list(function.rglob("*.so"))
    assert native
    assert all("aarch64" in library.name for library in native)
    size = sum(p.stat().st_size for p in function.rglob("*") if p.is_file())
    assert size < 2 << 20


def test_a_function_s_byte_code_is_never_checked_against_its_source(function: Path) -> None:
    sources = list(function.rglob("*.py"))
    assert len(sources) > 10
    for source in sources:
        cached = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
        content = cached.read_bytes()
        assert content[:4] == importlib.util.MAGIC_NUMBER
        assert content[4:8] == b"\x01\0\0\0", "hash-based and unchecked"
        code = marshal.loads(content[16:])
        assert code.co_filename.startswith("/var/task/")


def test_a_function_s_part_of_the_package_is_whole(function: Path, tmp_path: Path) -> None:
    """It imports by itself; boto3 and the function's own build of msgspec come from where the tests run."""
    shutil.copytree(function / "genai_stack", tmp_path / "genai_stack")
    handler = ast.parse((function / "handler.py").read_text())
    there = [
        node.module
        for node in handler.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("genai_stack")
    ]
    for module in there:
        if not (ROOT / "src" / f"{(module or '').replace('.', '/')}.py").exists():
            continue  # the events function's other half
        program = f"import {module} as m; print(m.__file__)"
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stdout.startswith(str(tmp_path)), done.stderr


def test_a_handler_is_wiring() -> None:
    for handler in (ROOT / "lambdas").rglob("handler.py"):
        assert len(handler.read_text().splitlines()) <= 20
        modules = {
            node.module for node in ast.walk(ast.parse(handler.read_text())) if isinstance(node, ast.ImportFrom)
        }
        allowed = tuple(
            f"genai_stack.{room}" for room in ("wiring", "service", "settings", "loading", "aws", "config")
        )
        assert all(m.startswith((*allowed, "typing", "__future__")) for m in modules if m), handler


def load(path: Path, monkeypatch: pytest.MonkeyPatch, **modules: Any) -> types.ModuleType:
    for name, members in modules.items():
        module = types.ModuleType(name.replace("__", "."))
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name.replace("__", "."), module)
    spec = importlib.util.spec_from_file_location("handler_under_test", path)
    assert spec
    assert spec.loader
    handler = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(handler)
    return handler


def test_the_events_function_records_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    from genai_stack import wiring

    heard: list[Any] = []
    monkeypatch.setenv("GENAI_STACK_STAGE", "prod")
    monkeypatch.setattr(wiring, "aws_jobs", lambda stage: f"services of {stage}", raising=False)
    handler = load(
        ROOT / "lambdas/events/handler.py",
        monkeypatch,
        genai_stack__aws__job_events={
            "record": lambda event, services, attach: heard.append((event, services))
        },
    )
    handler.handle({"detail": {}}, None)
    handler.handle({"detail": {"a": 1}}, None)
    assert heard == [({"detail": {}}, "services of prod"), ({"detail": {"a": 1}}, "services of prod")]


def test_the_budget_function_closes_the_queues_of_its_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    monkeypatch.setenv("GENAI_STACK_STAGE", "prod")
    handler = load(
        ROOT / "lambdas/budget/handler.py",
        monkeypatch,
        genai_stack__aws__spending={"close_queues": closed.append},
    )
    handler.handle({"Records": []}, None)
    assert closed == ["prod"]


def test_wheels_that_cannot_be_fetched_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cdk.constructs import bundles

    monkeypatch.setattr(bundles, "WHEELS", tmp_path / "wheels")
    locked = tmp_path / "all.txt"
    locked.write_text("no-such-package-of-ours==1 --hash=sha256:" + "0" * 64 + "\n")
    refused = subprocess.CompletedProcess([], 1, "", "ERROR: a\nERROR: No matching distribution found\n")
    monkeypatch.setattr(bundles.subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(GenAIStackError, match=r"pip can't fetch what all\.txt pins: ERROR: No matching"):
        bundles.fetch_wheels(locked, bundles.CONTAINER)
    assert not list((tmp_path / "wheels").glob("*"))
