"""ModelRegistry: what every adapter owes."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import msgspec
import pytest

from genai_stack.errors import Conflict, NotFound
from genai_stack.ports import ModelRegistry, ModelVersion
from tests.contracts.adapters import REGISTRIES

TUNED = ModelVersion("ft:builtin:shop:1", "/models/1/adapter", base="builtin", job="ftjob-1")


@pytest.fixture(params=REGISTRIES)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> ModelRegistry:
    return REGISTRIES[request.param](tmp_path)


def test_the_configured_models_are_there(registry: ModelRegistry) -> None:
    assert [(v.name, v.source, v.task) for v in registry.list()] == [
        ("builtin", "builtin", "chat"),
        ("all-minilm-l6-v2", "minilm", "embedding"),
    ]
    assert registry.get("builtin").base is None


def test_register_again_and_otherwise(registry: ModelRegistry) -> None:
    made = registry.register(TUNED)
    assert made.created > 0
    assert msgspec.structs.replace(made, created=0.0) == TUNED
    assert registry.register(TUNED) == made == registry.get(TUNED.name)
    with pytest.raises(Conflict):
        registry.register(msgspec.structs.replace(TUNED, source="/elsewhere"))
    with pytest.raises(Conflict):
        registry.register(ModelVersion("builtin", "/mine"))
    assert registry.register(ModelVersion("builtin", "builtin")) == registry.get("builtin")


def test_unknown_names(registry: ModelRegistry) -> None:
    for name in ("nobody", "", "../x", "\ud800", "x" * 5000):
        for call in (registry.get, registry.delete):
            with pytest.raises(NotFound) as caught:
                call(name)
            assert caught.value.code == "model_not_found"


def test_oldest_first_and_delete(registry: ModelRegistry) -> None:
    for n, name in enumerate(("c", "a", "b")):
        registry.register(ModelVersion(name, "/x", base="builtin", created=100.0 + n))
    assert [v.name for v in registry.list()] == ["builtin", "all-minilm-l6-v2", "c", "a", "b"]
    registry.delete("a")
    assert [v.name for v in registry.list()][2:] == ["c", "b"]
    with pytest.raises(Conflict):
        registry.delete("builtin")
    registry.register(ModelVersion("a", "/y", base="builtin"))
    assert registry.get("a").source == "/y"


def test_one_of_many_wins(registry: ModelRegistry) -> None:
    won: list[str] = []

    def attempt(n: int) -> None:
        with contextlib.suppress(Conflict):
            won.append(registry.register(ModelVersion("one", f"/{n}", base="builtin")).source)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [registry.get("one").source]
