"""Wilson's interval against scipy's, and what any interval of a share keeps to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.scorecard.intervals import wilson


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # scipy.stats.binomtest(right, n).proportion_ci(method="wilson")
        (0, 10, 0.0, 0.27753279986288926),
        (10, 10, 0.7224672001371109, 1.0),
        (1, 3, 0.06149194472039626, 0.7923403991979523),
        (190, 200, 0.910421851861224, 0.9726173543991361),
    ],
)
def test_known_intervals(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=1e-12)


def test_nothing_is_known_from_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_share_lies_within_and_more_questions_tell_more(told: tuple[int, int]) -> None:
    right, n = told
    low, high = wilson(right, n)
    assert 0.0 <= low <= right / n <= high <= 1.0
    assert low < high
    more = wilson(4 * right, 4 * n)
    assert more[1] - more[0] < high - low
    mirrored = wilson(n - right, n)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high), abs=1e-12)
