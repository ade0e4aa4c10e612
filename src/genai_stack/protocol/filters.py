"""OpenAI's filters over a file's attributes, as they go over the wire, and what they let through.

A file without the attribute passes `ne` and `nin` and nothing else. A boolean is no number; texts compare by code
points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from ..errors import RequestError

DEPTH = 8
NODES = 256

Text = Annotated[str, Meta(max_length=512)]
Key = Annotated[str, Meta(min_length=1, max_length=64)]
Value = Text | float | bool
Attributes = Annotated[dict[Key, Value], Meta(max_length=16)]
Some = Annotated[list[Text | float], Meta(min_length=1, max_length=256)]


class _Node(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class Eq(_Node, frozen=True, tag="eq"):
    key: Key
    value: Value


class Ne(_Node, frozen=True, tag="ne"):
    key: Key
    value: Value


class Gt(_Node, frozen=True, tag="gt"):
    key: Key
    value: Text | float


class Gte(_Node, frozen=True, tag="gte"):
    key: Key
    value: Text | float


class Lt(_Node, frozen=True, tag="lt"):
    key: Key
    value: Text | float


class Lte(_Node, frozen=True, tag="lte"):
    key: Key
    value: Text | float


class In(_Node, frozen=True, tag="in"):
    key: Key
    value: Some


class Nin(_Node, frozen=True, tag="nin"):
    key: Key
    value: Some


class And(_Node, frozen=True, tag="and"):
    filters: Annotated[list[Filter], Meta(min_length=1, max_length=NODES)]


class Or(_Node, frozen=True, tag="or"):
    filters: Annotated[list[Filter], Meta(min_length=1, max_length=NODES)]


Filter = Eq | Ne | Gt | Gte | Lt | Lte | In | Nin | And | Or


def check(root: Filter, param: str = "filters") -> None:
    """Raises RequestError for one that nests deeper than DEPTH or has more than NODES parts."""
    level: list[Filter] = [root]
    seen = 0
    for _ in range(DEPTH):
        seen += len(level)
        if seen > NODES:
            raise RequestError(
                f"'{param}' has over {NODES} parts; send fewer ('in' takes a list of values).",
                param=param,
                code="invalid_value",
            )
        level = [inner for node in level if isinstance(node, And | Or) for inner in node.filters]
        if not level:
            return
    raise RequestError(
        f"'{param}' nests deeper than {DEPTH} levels; flatten it.", param=param, code="invalid_value"
    )


def passes(node: Filter, attributes: Mapping[str, Value]) -> bool:
    if isinstance(node, And):
        return all(passes(inner, attributes) for inner in node.filters)
    if isinstance(node, Or):
        return any(passes(inner, attributes) for inner in node.filters)
    if node.key not in attributes:
        return isinstance(node, Ne | Nin)
    have = attributes[node.key]
    if isinstance(node, In | Nin):
        return any(_same(have, value) for value in node.value) == isinstance(node, In)
    if isinstance(node, Eq | Ne):
        return _same(have, node.value) == isinstance(node, Eq)
    return _ordered(node, have)


def _ordered(node: Gt | Gte | Lt | Lte, have: Value) -> bool:
    if isinstance(have, bool) or isinstance(have, str) != isinstance(node.value, str):
        return False
    sign = (have > node.value) - (have < node.value)  # type: ignore[operator]
    return (sign > 0, sign >= 0, sign < 0, sign <= 0)[(Gt, Gte, Lt, Lte).index(type(node))]


def _same(one: Value, other: Value) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
