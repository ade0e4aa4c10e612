"""How far a share that was counted may be from the true one."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share, `right` of `n`, both ends in 0 to 1; (0, 1) where `n` is 0. Wilson's
    score interval, which holds near 0 and 1 and for few questions too (E. B. Wilson, "Probable Inference, the Law of
    Succession, and Statistical Inference", JASA 22, 1927; recommended in Brown, Cai and DasGupta, "Interval Estimation
    for a Binomial Proportion", Statistical Science 16, 2001)."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = right / n
    middle = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    low, high = (middle - spread) / whole, (middle + spread) / whole
    return (low if right else 0.0), (high if right < n else 1.0)
