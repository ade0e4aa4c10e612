"""What tokens and seconds cost, in nanodollars: whole numbers, whose sums are exact in whichever order."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ..metering import PriceConfig
from .usage import Used

NANO = 10**9
"""Nanodollars of a dollar."""


class Price(msgspec.Struct, frozen=True):
    """Nanodollars a token (a dollar a million is 1,000 of them), and an hour of a copy, which `at_once` requests share
    when it is full."""

    input: int = 0
    cached: int = 0
    output: int = 0
    training: int = 0
    batch_percent: int = 100
    hour: int = 0
    at_once: int = 1
    training_hour: int = 0


FREE = Price()


class Prices:
    def __init__(self, configured: Iterable[PriceConfig] = ()) -> None:
        self._prices = {given.model: _price(given) for given in configured}

    def of(self, model: str | None, base: str | None = None) -> Price:
        """The model's own, else its base's, else nothing."""
        return self._prices.get(model or "") or self._prices.get(base or "") or FREE

    def answer(self, model: str | None, base: str | None, used: Used, served: float) -> int:
        """`served` seconds are those that the model took over it."""
        if not self._prices:
            return 0
        price = self.of(model, base)
        return cost(price, used) + (of_time(price.hour, served, price.at_once) if price.hour else 0)

    def batch(self, model: str, base: str | None, used: Used, seconds: float) -> int:
        """Rounded up to a nanodollar. It has a copy to itself for its `seconds`."""
        price = self.of(model, base)
        return -(-(cost(price, used) + of_time(price.hour, seconds)) * price.batch_percent // 100)

    def training(self, base: str, tokens: int, seconds: float) -> int:
        price = self.of(base)
        return price.training * tokens + of_time(price.training_hour, seconds)


def cost(price: Price, used: Used) -> int:
    fresh = used.prompt - used.cached
    return fresh * price.input + used.cached * price.cached + used.completion * price.output


def of_time(hour: int, seconds: float, at_once: int = 1) -> int:
    """To the microsecond, rounded up to a nanodollar."""
    return -(-round(seconds * 1e6) * hour // (3_600_000_000 * at_once))


def _price(given: PriceConfig) -> Price:
    cached = given.input if given.cached is None else given.cached
    return Price(
        _nano(given.input),
        _nano(cached),
        _nano(given.output),
        _nano(given.training),
        given.batch_percent,
        round(given.hour * NANO),
        given.at_once,
        round(given.training_hour * NANO),
    )


def _nano(dollars: float) -> int:
    """Of a price for a million tokens, nanodollars for one."""
    return round(dollars * 1000)
