"""How a resource is billed: so much of something in a unit, idle and at a load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .book import HOURS, Item
from .load import Load
from .templates import Template


class Part(NamedTuple):
    """`idle` and `load` are amounts a month in the item's unit, the latter of everything. `basis` says how they come
    about."""

    item: Item
    idle: float
    load: float
    basis: str


class Bill(NamedTuple):
    """What one resource is billed by. Without parts it is free by itself. `uncounted` names use that costs and that no
    load tells."""

    parts: tuple[Part, ...] = ()
    uncounted: str = ""


class Asked(NamedTuple):
    """A template, and what is asked of what it makes."""

    template: Template
    load: Load


Kind = Callable[[Asked, str, dict[str, Any]], Bill]
"""How a resource type is billed, given a resource's logical id and properties. Raises Unreadable where only the account
knows."""


def standing(name: str, count: float = 1, basis: str = "") -> Part:
    """What is billed by the month, used or not."""
    return Part(Item("month", name), count, count, basis or f"{count:g} a month")


def hourly(name: str, count: float, basis: str) -> Part:
    """What is billed by the hour around the clock."""
    return Part(Item("hour", name), count * HOURS, count * HOURS, basis)


def used(unit: str, name: str, amount: float, basis: str) -> Part:
    """What is billed by its use alone."""
    return Part(Item(unit, name), 0.0, amount, basis)
