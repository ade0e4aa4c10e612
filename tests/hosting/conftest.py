"""One tiny model and one server over it, shared by this room's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosting.models import write_adapter, write_model
from tests.hosting.served import Server, serving
from tests.run_wide import compiled_models


@pytest.fixture(scope="session")
def engine_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled models are shared by the run's servers."""
    home = tmp_path_factory.mktemp("engine-home")
    (home / "engine").symlink_to(compiled_models(tmp_path_factory), target_is_directory=True)
    return home


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny") / "model"


@pytest.fixture(scope="session")
def tiny(tiny_dir: Path) -> Any:
    """The tiny model in transformers, float32; its files lie in `tiny_dir`."""
    return write_model(tiny_dir)


@pytest.fixture(scope="session")
def adapter_dirs(tiny: Any, tiny_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters on the tiny model."""
    import copy

    directories = [tmp_path_factory.mktemp(f"adapter-{i}") for i in range(2)]
    for seed, directory in enumerate(directories):
        write_adapter(copy.deepcopy(tiny), directory, seed=seed)
    return directories


@pytest.fixture(scope="session")
def exact(tiny: Any, tiny_dir: Path, engine_home: Path) -> Iterator[Server]:
    """The tiny model served in float32, so that answers can be compared with transformers'."""
    with serving(tiny_dir, engine_home, "--precision", "f32", "--max-adapters", "1") as server:
        yield server
