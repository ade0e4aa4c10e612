"""List prices, read from `list_prices.toml` beside this module, and from a file of somebody's own before it.

A table of the file is a unit, a name in it what is counted in that unit: `[ec2-hour] "g6e.xlarge"`.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..errors import ConfigError

HOURS = 730.0
"""Of a month, as AWS's own calculator counts."""
UNITS = (
    *("ec2-hour", "sagemaker-hour", "hour", "month"),
    *("million", "gb", "gb-month", "gb-second"),
)
_FILE = "list_prices.toml"
_ABOUT = ("region", "known", "currency", "source")


class Item(NamedTuple):
    """What is counted, and in which unit."""

    unit: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.unit})"


class PriceBook(msgspec.Struct, frozen=True):
    """US dollars for one of each unit, for a million in the unit `million`. `known` is the day to which the prices are
    known, `region` where they hold; `own` is a file whose prices went before, with what it says of itself."""

    region: str
    known: str
    source: str
    usd: dict[str, dict[str, float]]
    own: str | None = None

    def price(self, item: Item) -> float | None:
        """None where nobody knows it."""
        found = self.usd.get(item.unit, {}).get(item.name)
        return found / 1e6 if found is not None and item.unit == "million" else found

    def told(self) -> str:
        """Where the prices come from, in a line."""
        own = f", and {self.own} before them" if self.own else ""
        return (
            f"list prices of {self.region} as known on {self.known} ({self.source}){own}; check before relying"
        )


def load(own: Path | None = None) -> PriceBook:
    """The book, with the prices of the file `own` before its own. Raises ConfigError for a file that is no such one."""
    book = _parsed(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"), _FILE, whole=True)
    if own is None:
        return book
    try:
        mine = _parsed(own.read_text(encoding="utf-8"), str(own), whole=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't be read: {error}", file=str(own)) from None
    usd = {unit: book.usd.get(unit, {}) | mine.usd.get(unit, {}) for unit in UNITS}
    about = ", ".join(filter(None, (mine.region, mine.known, mine.source)))
    return msgspec.structs.replace(book, usd=usd, own=f"{own} ({about})" if about else str(own))


def _parsed(text: str, file: str, *, whole: bool) -> PriceBook:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(error), file=file) from None
    about: dict[str, str] = {}
    for name in _ABOUT:
        value = raw.pop(name, "" if not whole else None)
        if not isinstance(value, str):
            raise ConfigError(f"{name} is a text, and missing or another thing here", file=file)
        about[name] = value
    if about["currency"] not in ("USD", "" if not whole else "USD"):
        raise ConfigError(f"prices are in USD, not in {about['currency']}", file=file)
    for unit, table in raw.items():
        if unit not in UNITS:
            raise ConfigError(f"no unit {unit!r}; there are: {', '.join(UNITS)}", file=file)
        _refuse_amounts(unit, table, file)
    return PriceBook(about["region"], about["known"], about["source"], raw)


def _refuse_amounts(unit: str, table: Any, file: str) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"[{unit}] is a table of names and US dollars", file=file)
    for name, usd in table.items():
        if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd < 1e6:
            raise ConfigError(f"[{unit}] {name} = {usd!r}: a price is a number of US dollars", file=file)
