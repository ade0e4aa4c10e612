"""Which API an evaluation asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from genai_stack import wiring
from genai_stack.bulk.api import _prepared, api
from genai_stack.bulk.places import Place
from genai_stack.bulk.specs import EvaluationSpec, ModelSpec
from genai_stack.config import load_config
from genai_stack.errors import InvalidSpec
from tests.live import Live

SPEC = EvaluationSpec(ModelSpec("builtin", "builtin"), ("t",), "out")


def test_a_stack_that_runs_and_serves_the_model_is_asked(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_STACK_HOME", str(live.home))
    place = Place(tmp_path / "out")
    with api(SPEC, place) as (endpoint, name):
        assert (endpoint.base_url, endpoint.key, name) == (live.base_url, live.key, "builtin")
    assert not list(place.path.iterdir())


def test_the_api_that_the_environment_names_has_to_serve_the_model(
    live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENAI_STACK_BASE_URL", live.base_url)
    monkeypatch.setenv("GENAI_STACK_API_KEY", live.key)
    place = Place(tmp_path / "out")
    with api(SPEC, place) as (endpoint, name):
        assert (endpoint.base_url, name) == (live.base_url, "builtin")
    unknown = EvaluationSpec(ModelSpec("nope", "builtin"), ("t",), "out")
    with pytest.raises(InvalidSpec, match="doesn't serve 'nope'"), api(unknown, place):
        pass


def test_a_stack_started_for_it_knows_the_model_and_its_adapter(tmp_path: Path) -> None:
    model = ModelSpec('ft:x:"é":1', str(tmp_path / 'a "quoted" \\ place'), "/adapter")
    home, file = _prepared(
        EvaluationSpec(model, ("t",), "out", precision="f32", threads=2), Place(tmp_path / "out")
    )
    config = load_config(file)
    assert (config.local.precision, config.local.threads) == ("f32", 2)
    assert [(m.name, m.source) for m in config.models] == [("base", model.source)]
    stored = EvaluationSpec(ModelSpec("m", "s3://bucket/models/m"), ("t",), "out")
    there = load_config(_prepared(stored, Place(tmp_path / "other"))[1])
    assert there.models[0].source == "s3://bucket/models/m"
    adapter = wiring.local_services(home, config).registry.get(model.name)
    assert (adapter.source, adapter.base) == ("/adapter", "base")


def test_a_version_of_an_adapter_goes_by_its_bare_name_in_a_stack_of_its_own(tmp_path: Path) -> None:
    model = ModelSpec("ft:x:y:1@2", str(tmp_path), "/adapter")
    home, file = _prepared(EvaluationSpec(model, ("t",), "out"), Place(tmp_path / "out"))
    assert wiring.local_services(home, load_config(file)).registry.get("ft:x:y:1").source == "/adapter"
