"""Whether two schemas can accept the same value, as far as types and constants tell."""

from __future__ import annotations

from typing import Any

from .literals import as_json

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


def is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int):
        return kind in ("integer", "number")
    if isinstance(value, float):
        return kind == "number" or (kind == "integer" and value.is_integer())
    kinds: dict[type, str] = {str: "string", list: "array", dict: "object", type(None): "null"}
    return kinds[type(value)] == kind


def _constants(schema: Any) -> set[str] | None:
    if isinstance(schema, dict) and ("const" in schema or "enum" in schema):
        return {as_json(value) for value in schema.get("enum", [schema.get("const")])}
    return None


def disjoint(a: Any, b: Any) -> bool:
    """No reference among `a` and `b` is followed: where one is left, the answer is no."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        return False
    mine, yours = _constants(a), _constants(b)
    if mine is not None and yours is not None:
        return not mine & yours
    kinds = [{s["type"]} if isinstance(s.get("type"), str) else set(s.get("type", TYPES)) for s in (a, b)]
    widened = [kind | {"integer"} if "number" in kind else kind for kind in kinds]
    if not widened[0] & widened[1]:
        return True
    shared = set(a.get("required", ())) & set(b.get("required", ()))
    return kinds[0] == kinds[1] == {"object"} and any(
        disjoint(a.get("properties", {}).get(name), b.get("properties", {}).get(name))
        and _constants(a["properties"][name]) is not None
        for name in shared
    )
