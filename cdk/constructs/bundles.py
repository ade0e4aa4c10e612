"""What travels to the account as an asset: the training program, and each function's code. No Docker, no image.

A bundle is a folder made of this repository's source and of wheels. The wheels are those the lock files name, fetched
by pip once and kept in `.wheels/`; each is checked against its hash. The same commit gives the same bytes.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from genai_stack.errors import GenAIStackError

from . import images

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "genai_stack"
REQUIREMENTS = ROOT / "requirements"
WHEELS = ROOT / ".wheels"
OVERLAYS = ("all", "train", "evaluate")
"""Folders of packages the program carries; a job's command says which of them come before the image's own."""
FUNCTION_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""A function runs the Python that bundles it: only then does its byte code fit."""
ELSEWHERE = frozenset({"bulk", "cli", "client", "documents", "hosting", "local", "service", "training"})
"""Rooms that a function comes to only by a module that imports them as it loads: what is imported inside a function,
such as `wiring`'s local half, is never reached there."""


ASKED = (
    *("application-autoscaling", "batch", "cloudwatch", "dynamodb", "logs", "s3", "sagemaker"),
    *("s3vectors", "sagemaker-runtime", "ssm"),
)
"""The services the API asks, by the names of botocore's models; the other four hundred stay behind."""
STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)
SOURCES = (".c", ".h", ".hash", ".pxd", ".pxi", ".pyi", ".pyx")
UNUSED = (
    *("boto3/data/", "boto3/examples/", "multipart/", "urllib3/contrib/emscripten/", "uvloop/_testbase.py"),
    *("docx/templates/", "lxml/html/", "lxml/includes/", "lxml/isoschematron/", "lxml/objectify"),
)
"""multipart is another name for python_multipart. Documents are read here, never made."""


class Target(NamedTuple):
    """What a wheel must fit."""

    python: str
    machine: str


CONTAINER = Target(images.PYTHON, "x86_64")
FUNCTION = Target(FUNCTION_PYTHON, "aarch64")
HERE = Target(FUNCTION_PYTHON, platform.machine() if sys.platform == "linux" else FUNCTION.machine)
"""The same for this machine, where it runs Linux: a bundle that can be started to see whether it does."""


def bundle_program(into: Path) -> None:
    """The whole package, and the wheels of what the image lacks; the job's command unpacks those it needs.

    The built-in model's weights are in it, since "builtin" is the default base of a fine-tune; its compiled form for
    the local engine is not, since no container has that engine.
    """
    _copy(SOURCE, into / "genai_stack", without=("openvino",))
    for overlay in OVERLAYS:
        (into / "packages" / overlay).mkdir(parents=True)
        for wheel in fetch_wheels(REQUIREMENTS / "container" / f"{overlay}.txt", CONTAINER):
            shutil.copyfile(wheel, into / "packages" / overlay / wheel.name)


def bundle_function(
    handler: Path, into: Path, target: Target = FUNCTION, *, locked: str = "lambda", rooms: tuple[str, ...] = ()
) -> None:
    """`handler`, what it imports of the package with the TOML files beside it, all of `rooms`, and the wheels that the
    lock file of that name pins, all with byte code."""
    into.mkdir(parents=True, exist_ok=True)
    for room in rooms:
        _copy(SOURCE / room, into / "genai_stack" / room)
    for module in modules_of(handler):
        beside = module.parent.glob("*.toml") if module.name == "__init__.py" else ()
        for file in (module, *beside):
            _copy(file, into / "genai_stack" / file.relative_to(SOURCE))
    shutil.copyfile(handler, into / handler.name)
    _compile(into)
    shutil.copytree(_unpacked(REQUIREMENTS / f"{locked}.txt", target), into, dirs_exist_ok=True)


def _compile(folder: Path) -> None:
    """Byte code that is never checked against its source: a function's folder is read-only, so none would be cached
    there."""
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    # A fixed hash seed orders the sets among a module's constants.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run([*command, "-s", str(folder), "-p", "/var/task", str(folder)], check=True, env=environment)


def modules_of(handler: Path) -> list[Path]:
    """The files of the package that `handler` can come to import, by its syntax and theirs."""
    found: set[Path] = set()
    waiting = [handler]
    while waiting:
        path = waiting.pop()
        for name, eager in _imports(path):
            parts = name.split(".")
            if parts[0] != "genai_stack" or (not eager and len(parts) > 1 and parts[1] in ELSEWHERE):
                continue
            for end in range(1, len(parts) + 1):
                place = SOURCE.joinpath(*parts[1:end])
                for file in (place / "__init__.py", place.with_suffix(".py")):
                    if file.is_file() and file not in found:
                        found.add(file)
                        waiting.append(file)
    return sorted(found)


def _imports(path: Path) -> list[tuple[str, bool]]:
    """Every name a file imports, as absolute as it gets, and whether it does so when it loads."""
    package = path.relative_to(SOURCE).parts[:-1] if path.is_relative_to(SOURCE) else None
    return _imported(path.read_text(), () if package is None else ("genai_stack", *package))


@cache
def _imported(text: str, package: tuple[str, ...]) -> list[tuple[str, bool]]:
    """An import is a statement: what stands in expressions, most of a file, is passed by."""
    found: list[tuple[str, bool]] = []
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(text), True)]
    while waiting:
        node, eager = waiting.pop()
        if isinstance(node, ast.Import):
            found += [(alias.name, eager) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])])
            found += [(f"{module}.{alias.name}", eager) for alias in node.names]
        elif not (isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"):
            inside = eager and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            children = (child for child in ast.iter_child_nodes(node) if isinstance(child, STATEMENTS))
            waiting += [(child, inside) for child in children]
    return found


def fetch_all() -> None:
    """Has every wheel at hand, so that synthesis needs no network."""
    for overlay in OVERLAYS:
        fetch_wheels(REQUIREMENTS / "container" / f"{overlay}.txt", CONTAINER)
    _unpacked(REQUIREMENTS / "lambda.txt", FUNCTION)
    for target in {FUNCTION, HERE}:
        _unpacked(REQUIREMENTS / "api.txt", target)


def fetch_wheels(locked: Path, target: Target) -> list[Path]:
    """The wheels that `locked` pins, for `target`. Raises GenAIStackError when pip can't get them."""
    digest = hashlib.sha256(locked.read_bytes()).hexdigest()[:16]
    place = WHEELS / f"{locked.stem}-{target.python}-{target.machine}-{digest}"
    if not place.exists():
        partial = place.with_name(f"{place.name}.{os.getpid()}")
        version = target.python.replace(".", "")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={target.python}"]
        command += [f"--abi={abi}" for abi in (f"cp{version}", "abi3", "none")]
        glibc = ("2014", "_2_17", "_2_28", "_2_34")
        command += [f"--platform=manylinux{since}_{target.machine}" for since in glibc]
        done = subprocess.run([*command, "-d", partial, "-r", locked], capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(partial, ignore_errors=True)
            why = done.stderr.strip().rpartition("\n")[2]
            raise GenAIStackError(f"pip can't fetch what {locked.name} pins: {why}; synthesise where it can")
        partial.rename(place)
    return sorted(place.glob("*.whl"))


def _unpacked(locked: Path, target: Target) -> Path:
    """A folder with what the wheels hold, compiled: made once for a lock file, and for what this file makes of it."""
    wheels = fetch_wheels(locked, target)
    digest = hashlib.sha256(locked.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]
    place = WHEELS / f"{locked.stem}-{target.python}-{target.machine}-{digest}.unpacked"
    if not place.exists():
        partial = place.with_name(f"{place.name}.{os.getpid()}")
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as content:
                content.extractall(partial, [name for name in content.namelist() if _is_run(name)])
        _compile(partial)
        try:
            partial.rename(place)
        except OSError:  # another process was quicker
            shutil.rmtree(partial)
    return place


def _is_run(name: str) -> bool:
    """Whether a wheel's file is of any use to a function: not the sources of what is compiled, nor a service of AWS
    that nothing here asks."""
    data = re.match(r"botocore/data/([^/]+)/", name)
    if data is not None and data[1] not in ASKED:
        return False
    unused = name.endswith(SOURCES) or "/examples-1.json" in name or name.startswith(UNUSED)
    return ".data/" not in name and not unused


def _copy(source: Path, into: Path, without: tuple[str, ...] = ()) -> None:
    if source.is_file():
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, into)
    else:
        shutil.copytree(source, into, ignore=shutil.ignore_patterns("__pycache__", *without))
