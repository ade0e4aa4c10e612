"""What tokens cost, in nanodollars: whole numbers, so that sums are exact whichever order they are made in."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..metering import PriceConfig
from .usage import Used

NANO = 10**9
"""Nanodollars of a dollar."""


class Price(msgspec.Struct, frozen=True):
    """Nanodollars a token: a dollar a million is 1,000 of them."""

    input: int = 0
    cached: int = 0
    output: int = 0
    training: int = 0
    batch_percent: int = 100


FREE = Price()


class Prices:
    def __init__(self, configured: Iterable[PriceConfig] = ()) -> None:
        self._prices = {given.model: _price(given) for given in configured}

    def of(self, model: str | None, base: str | None = None) -> Price:
        """The model's own, else its base's, else nothing."""
        return self._prices.get(model or "") or self._prices.get(base or "") or FREE

    def answer(self, model: str | None, base: str | None, used: Used) -> int:
        if not self._prices:
            return 0
        return cost(self.of(model, base), used)

    def batch(self, model: str, base: str | None, used: Used) -> int:
        """Rounded up to a nanodollar."""
        price = self.of(model, base)
        return -(-cost(price, used) * price.batch_percent // 100)

    def training(self, base: str, tokens: int) -> int:
        return self.of(base).training * tokens


def cost(price: Price, used: Used) -> int:
    fresh = used.prompt - used.cached
    return fresh * price.input + used.cached * price.cached + used.completion * price.output


def _price(given: PriceConfig) -> Price:
    cached = given.input if given.cached is None else given.cached
    return Price(
        _nano(given.input), _nano(cached), _nano(given.output), _nano(given.training), given.batch_percent
    )


def _nano(dollars: float) -> int:
    """Of a price for a million tokens, nanodollars for one."""
    return round(dollars * 1000)
