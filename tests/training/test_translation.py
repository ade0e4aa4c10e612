from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genai_stack.training.world.names import Draw, is_heldout
from genai_stack.training.world.translation import pair
from genai_stack.training.world.translation.combinations import combinations
from genai_stack.training.world.translation.pairs import drawn


@given(st.integers(0, 2**31), st.sampled_from(["fr", "de", "es"]))
def test_the_same_seed_gives_the_same_pairs(seed: int, target: str) -> None:
    first, second = Draw(seed), Draw(seed)
    assert [pair(first, target) for _ in range(3)] == [pair(second, target) for _ in range(3)]


@given(st.integers(0, 2**31))
def test_a_heldout_combination_is_in_every_heldout_sentence_and_in_no_other(seed: int) -> None:
    for heldout in (False, True):
        said = drawn(Draw(seed, heldout=heldout))
        assert any(map(is_heldout, combinations(said))) is heldout
