"""docs/responses.md tells of every parameter."""

from __future__ import annotations

from pathlib import Path

import pytest

from genai_stack.protocol.responses import STORES_MOST, ResponseRequest
from genai_stack.protocol.stores import QUERY_CHARACTERS
from genai_stack.service.resources.searching import RESULTS
from genai_stack.service.responses import background, fitting, records, responses

GUIDE = (Path(__file__).parents[3] / "docs" / "responses.md").read_text()


@pytest.mark.parametrize("name", [name for name in ResponseRequest.__struct_fields__ if name != "model"])
def test_a_parameter_is_told_of(name: str) -> None:
    assert f"`{name}`" in GUIDE


def test_numbers_are_those_of_the_code() -> None:
    assert f"up to {STORES_MOST})" in GUIDE
    assert f"first {QUERY_CHARACTERS:,} characters" in GUIDE
    assert f"`max_num_results` ({RESULTS} by default)" in GUIDE
    assert f"else {fitting.ANSWER} tokens" in GUIDE
    assert f"nothing for {records.LEASE_SECONDS:.0f} seconds" in GUIDE
    assert f"up to {responses.LONGEST_CHAIN:,}" in GUIDE
    assert background.AT_ONCE == 16
    assert "Sixteen run at once" in GUIDE
