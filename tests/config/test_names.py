"""Names that rights are bound by: what a stage's pattern matches is that stage's, whatever the model is called."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack import names
from genai_stack.errors import ConfigError

STAGES = st.from_regex(names.STAGE, fullmatch=True)
MODELS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", fullmatch=True)


@pytest.mark.parametrize("name", ["", "Dev", "a-b", "a_b", "1a", "a.b", "*", "a/b", "a" * 17, "dev\n", "düv"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="can't be a stage's name"):
        names.checked_stage(name)
    assert names.checked_stage("dev2") == "dev2"


@given(STAGES, STAGES, MODELS)
def test_a_stage_s_patterns_match_its_own_names_alone(stage: str, other: str, model: str) -> None:
    patterns = {
        names.components(stage): (names.component(stage, model), names.component(other, model)),
        names.served_models(stage): (
            names.served_model(stage, model, 7, "s3://b/m"),
            names.served_model(other, model, 7, "s3://b/m"),
        ),
        names.model_package_groups(stage): (
            names.model_package_group(stage, model),
            names.model_package_group(other, model),
        ),
    }
    for pattern, (own, foreign) in patterns.items():
        assert fnmatchcase(own, pattern)
        assert fnmatchcase(foreign, pattern) is (stage == other)


@given(STAGES, MODELS, st.integers(0, 10**9 - 1))
def test_sagemaker_s_names_are_short_and_in_small_letters(stage: str, model: str, version: int) -> None:
    served = names.served_model(stage, model, version, "hf://org/Name", "image", "A=b")
    for name in (served, names.component(stage, model), names.endpoint(stage, model)):
        assert re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", name)
        assert len(name) <= 63
    assert names.served_parts(served) == (version, names.weights_mark("hf://org/Name"))
    assert names.served_parts(names.component(stage, model)) is None


def test_models_that_differ_in_case_alone_have_names_of_their_own() -> None:
    assert names.component("dev", "Qwen") != names.component("dev", "qwen")
    assert names.endpoint("dev", "Qwen") != names.endpoint("dev", "qwen")
