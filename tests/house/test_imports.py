"""Who may import whom. The table of the house, held over the syntax tree."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "genai_stack"

LEAVES = {
    "errors",
    "hosted",
    "catalogue",
    "choices",
    "containers",
    "findings",
    "fit",
    "gateway",
    "registries",
    "config",
    "json_lines",
    "learning_rates",
    "loading",
    "toml_lines",
    "machines",
    "managed",
    "metering",
    "names",
    "ports",
    "registry",
    "settings",
    "sources",
    "spec_file",
    "task_prompts",
    "builtin",
    "protocol",
    "vectors",
    "words",
}
SERVING = {"starlette", "uvicorn", "uvloop", "prometheus_client"}
ENGINE = {
    "transformers",
    "openvino",
    "openvino_genai",
    "openvino_tokenizers",
    "numpy",
    "tokenizers",
    "safetensors",
    "jinja2",
    "jsonschema",
}
TRAINERS = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "pyarrow",
    "safetensors",
    "tokenizers",
    "numpy",
    "jinja2",
    "matplotlib",
    "mlflow",
}

# room: (rooms of this package, packages from outside); "local.home" is one module of a room
TABLE: dict[str, tuple[set[str], set[str]]] = {
    **{leaf: (LEAVES, {"msgspec"}) for leaf in LEAVES},
    "sources": (LEAVES | {"wiring"}, {"msgspec", "huggingface_hub"}),
    "tasks": (LEAVES, {"msgspec"}),
    "service": (LEAVES | {"tasks"}, {"msgspec", "aiohttp", "python_multipart", "opentelemetry", *SERVING}),
    "hosting": (LEAVES, {"msgspec", "aiohttp", *SERVING, *ENGINE}),
    "training": (LEAVES | {"wiring", "hosting.publish"}, {"msgspec", *TRAINERS}),
    "bulk": (LEAVES | {"tasks", "wiring", "client.endpoint", "client.child"}, {"msgspec", "lm_eval", "torch"}),
    "aws": (LEAVES, {"msgspec", "aiohttp", "yarl", "boto3", "botocore", "sagemaker"}),
    "documents": ({"errors"}, {"msgspec", "pypdf", "docx", "lxml"}),
    "local": (LEAVES | {"hosting", "training"}, {"msgspec", "aiohttp", "yarl", "numpy"}),
    "pricing": (LEAVES, {"msgspec"}),
    "wiring": (LEAVES | {"aws", "documents", "local"}, {"msgspec"}),
    "scorecard": (LEAVES | {"client.service", "training.world"}, {"msgspec", "openai"}),
    "client": (
        LEAVES | {"wiring", "aws.published", "training.spec", "training.data", "bulk.specs", "bulk.intake"},
        {"msgspec", "openai", "rich"},
    ),
}
LAZY = {
    "training": {"wiring", "hosting.publish", "mlflow"},
    "sources": {"wiring"},
    "bulk": {"wiring", "client.endpoint", "client.child", "lm_eval", "torch"},
    "wiring": {"aws", "documents", "local"},
    "scorecard": {"client.service", "training.world", "openai"},
    "client": {
        "wiring",
        "aws.published",
        "training.spec",
        "training.data",
        "bulk.specs",
        "bulk.intake",
        "openai",
        "rich",
    },
}
"""What a room may import inside a function only."""


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """Every imported module as an absolute dotted name, its line, and whether it loads with the module."""
    package = ("genai_stack", *path.relative_to(SOURCE).parts[:-1])
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    inside = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        eager = id(node) not in inside
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, eager
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield f"{module}.{alias.name}", node.lineno, eager


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_room_imports_what_the_table_allows(path: Path) -> None:
    room = room_of(path)
    if room not in TABLE:
        assert room in ("__init__", "__main__", "cli"), f"{room} is no room of the house"
        return
    rooms, packages = TABLE[room]
    wrong = []
    for name, line, eager in imports(path):
        parts = name.split(".")
        if parts[0] == "genai_stack":
            within = ".".join(parts[1:])
            if (
                len(parts) == 2
                and not (SOURCE / parts[1]).exists()
                and not (SOURCE / f"{parts[1]}.py").exists()
            ):
                continue  # a name of the package itself, such as __version__
            allowed = next((r for r in {room, *rooms} if within == r or within.startswith(f"{r}.")), None)
        elif parts[0] in sys.stdlib_module_names:
            continue
        else:
            allowed = parts[0] if parts[0] in packages else None
        if allowed is None or (eager and allowed in LAZY.get(room, ())):
            wrong.append(f"{path.name}:{line} imports {name}{' when it loads' if allowed else ''}")
    assert not wrong, f"{room} may import {sorted(rooms)} and {sorted(packages)}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_only_settings_reads_the_environment(path: Path) -> None:
    if path.name == "settings.py" and path.parent == SOURCE:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv", "putenv"):
            assert getattr(node.value, "id", None) != "os", f"{path.name}:{node.lineno} reads the environment"
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            names = {alias.name for alias in node.names}
            assert not names & {"environ", "environb", "getenv"}, f"{path.name}:{node.lineno}"


HEAVY = (
    "torch",
    "transformers",
    "boto3",
    "botocore",
    "sagemaker",
    "mlflow",
    "openvino",
    "openvino_genai",
    "opentelemetry",
    "aws_cdk",
    "openai",
    "rich",
)


@pytest.mark.parametrize(
    "module",
    ["genai_stack", "genai_stack.client", "genai_stack.cli", "genai_stack.wiring", "genai_stack.service"],
)
def test_nothing_heavy_loads_before_it_is_used(module: str) -> None:
    program = f"import sys, {module}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
