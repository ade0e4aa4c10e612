"""A job's spec out of a file: JSON or TOML, small, with no key that isn't known; nothing is guessed."""

from __future__ import annotations

import difflib
import tomllib
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from .errors import InvalidSpec

S = TypeVar("S", bound=msgspec.Struct)
SPEC_BYTES = 1 << 20
"""A spec over this many bytes is refused undecoded."""


def decode(raw: bytes, name: str) -> Any:
    """The plain data in a file called `name`, JSON unless it ends in `.toml`. Raises InvalidSpec."""
    if len(raw) > SPEC_BYTES:
        raise InvalidSpec(f"over {SPEC_BYTES} bytes; a spec is a short file, the data goes beside it")
    toml = name.endswith(".toml")
    try:
        return tomllib.loads(raw.decode()) if toml else msgspec.json.decode(raw)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidSpec(f"isn't valid {'TOML' if toml else 'JSON'}: {error}; correct it") from None


def convert(value: Any, kind: type[S]) -> S:
    """`value` as a `kind`. An unknown key or a wrong type raises InvalidSpec, which starts with the key's path."""
    _refuse_unknown(value, kind, "")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise InvalidSpec(f"{where.rstrip('`').lstrip('.') or 'spec'}: {message}") from None


def _refuse_unknown(value: Any, kind: type[msgspec.Struct], where: str) -> None:
    if not isinstance(value, dict):
        return
    hints = get_type_hints(kind)
    for key, item in value.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.0)[0]
            raise InvalidSpec(f"{where}{key}: no such key; did you mean {near!r}?")
        for part in (hints[key], *get_args(hints[key])):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                _refuse_unknown(item, part, f"{where}{key}.")
