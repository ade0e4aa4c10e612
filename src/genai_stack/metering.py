"""What is metered, by `stack.toml`: `[[price]]`, what a model costs, and `[[tenant]]`, what a tenant may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, NoReturn

import msgspec

Dollars = Annotated[float, msgspec.Meta(ge=0, le=10**6)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
EVERY_OTHER = "*"


class PriceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[price]]`: what a model costs, by its tokens, in US dollars for a million of them, or by the hour; both to
    a thousandth. A fine-tune without a price of its own has its base's; a model without one costs nothing."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    """The model's name, as a request says it."""
    input: Dollars = 0.0
    """Of the prompt."""
    cached: Dollars | None = None
    """Of the prompt, where the model didn't have to read it again; as `input` unless it says."""
    output: Dollars = 0.0
    """Of the answer."""
    training: Dollars = 0.0
    """That a fine-tune of the model was trained on."""
    batch_percent: Annotated[int, msgspec.Meta(ge=0, le=100)] = 100
    """What a batch pays of all that, and of an hour."""
    hour: Dollars = 0.0
    """Of a copy of the model, instead of its tokens: a request pays for the seconds that the model took over it,
    divided by `at_once`; a batch for all of its own."""
    at_once: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 1
    """Requests that share a copy when it is full."""
    training_hour: Dollars = 0.0
    """Of a machine that a fine-tune of the model runs on, beside its tokens."""


class TenantConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[tenant]]`: what all keys of a tenant may use together, beside what each may by itself."""

    name: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,63}|\*)$")]
    """The tenant's, as `genai-stack keys create --tenant` says it; `*` is each tenant that has no entry of its own."""
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    """Of prompts and answers."""
    concurrent: Count | None = None
    """Requests whose answer isn't complete."""
    budget: Dollars | None = None
    """US dollars a calendar month (UTC)."""


Refuse = Callable[..., NoReturn]
"""Raises with a message and the setting's path."""


def refuse_prices(prices: Iterable[PriceConfig], refuse: Refuse) -> None:
    seen: set[str] = set()
    for index, price in enumerate(prices):
        if price.model in seen:
            refuse(f"{price.model!r} has two prices; give it one", "price", index, "model")
        seen.add(price.model)
        if price.hour and (price.input or price.cached or price.output):
            refuse("a price is by the token or by the hour; leave one out", "price", index, "hour")
        for name in ("input", "cached", "output", "training", "hour", "training_hour"):
            value = getattr(price, name)
            if value is not None and abs(value * 1000 - round(value * 1000)) > 1e-6:
                refuse(f"{value} is finer than a thousandth of a dollar; round it", "price", index, name)


def refuse_tenants(tenants: Iterable[TenantConfig], refuse: Refuse) -> None:
    seen: set[str] = set()
    for index, tenant in enumerate(tenants):
        if tenant.name in seen:
            refuse(f"{tenant.name!r} has two entries; put them together", "tenant", index, "name")
        seen.add(tenant.name)
