"""Each port's adapters by name. A second one added here (`aws`) is held to the same suites."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from genai_stack.local.home import Home
from genai_stack.local.objects import DirectoryObjects
from genai_stack.local.queue import ProcessJobs
from genai_stack.local.records import SqliteRecords
from genai_stack.local.registry import RecordedModels

if TYPE_CHECKING:
    from genai_stack.local.host import LoopbackHost

HERE = Path(__file__).parent
PROGRAMS = {"tiny": "tiny_job"}
GRACE = 0.5


def _records(root: Path) -> SqliteRecords:
    return SqliteRecords(root / "records.sqlite")


def _objects(root: Path) -> DirectoryObjects:
    return DirectoryObjects(root / "objects")


def _jobs(root: Path) -> ProcessJobs:
    return ProcessJobs(Home(root), programs=PROGRAMS, grace=GRACE)


def _registry(root: Path) -> RecordedModels:
    return RecordedModels(_records(root))


def _host(root: Path) -> LoopbackHost:
    """Over a model server that only echoes (fake_hosting.py)."""
    from genai_stack.local.host import LoopbackHost  # here, since the other suites' children need no aiohttp

    return LoopbackHost(Home(root), _registry(root), program="fake_hosting")


# Each opens the adapter on what `root` holds; called again, it is another process's view of the same.
RECORDS: Mapping[str, Callable[[Path], SqliteRecords]] = {"local": _records}
OBJECTS: Mapping[str, Callable[[Path], DirectoryObjects]] = {"local": _objects}
JOBS: Mapping[str, Callable[[Path], ProcessJobs]] = {"local": _jobs}
REGISTRIES: Mapping[str, Callable[[Path], RecordedModels]] = {"local": _registry}
HOSTS: Mapping[str, Callable[[Path], LoopbackHost]] = {"local": _host}


def child_path() -> str:
    """PYTHONPATH for children: the test programs, the tests, and the package as this process has it."""
    import genai_stack

    return f"{HERE}:{HERE.parents[1]}:{Path(genai_stack.__file__).parents[1]}"
