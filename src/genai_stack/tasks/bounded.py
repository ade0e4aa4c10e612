"""Schemas narrowed until what they accept comes to an end."""

from __future__ import annotations

from typing import Any, NamedTuple


class Sizes(NamedTuple):
    """The longest text in characters and the longest list in items where a schema leaves them open."""

    text: int
    items: int


_SCHEMAS, _NAMED = ("items", "prefixItems", "additionalProperties"), ("properties", "$defs", "definitions")
_BRANCHES = ("anyOf", "oneOf", "allOf")
_ALONE = frozenset(("enum", "const", "$ref", *_BRANCHES))
"""Nothing that is enforced can stand beside one of these."""
_FIXED = frozenset(("maxLength", "pattern", "format"))
_ABOUT = frozenset(
    "title description default examples example deprecated readOnly writeOnly nullable $comment $schema $id".split()
)
_SCALARS = ["string", "number", "boolean", "null"]


def bounded(schema: Any, sizes: Sizes) -> Any:
    """A schema that accepts nothing but what `schema` does. A text or list of it that had no longest length has that of
    `sizes`, or the schema's shortest where it is longer; where it said nothing at all, it asks for a single value.

    What can still be endless: an object of any names, a reference that comes back to itself or leads out of `$defs`, a
    pattern or a format, and what is held to something but has no type.
    """
    if schema is True or (isinstance(schema, dict) and set(schema) <= _ABOUT):
        return {**(schema if isinstance(schema, dict) else {}), "type": _SCALARS, "maxLength": sizes.text}
    if isinstance(schema, list):
        return [bounded(each, sizes) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _inner(key, value, schema, sizes) for key, value in schema.items()}
    if _ALONE & set(schema):
        return found
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if "string" in kinds and not _FIXED & set(schema):
        found["maxLength"] = max(sizes.text, int(schema.get("minLength", 0)))
    if "array" in kinds:
        found.setdefault("items", bounded(True, sizes))
        if "maxItems" not in schema:
            first = len(schema.get("prefixItems", ()))
            found["maxItems"] = max(sizes.items, int(schema.get("minItems", 0)), first)
    return found


def _inner(key: str, value: Any, schema: dict[str, Any], sizes: Sizes) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: bounded(each, sizes) for name, each in value.items()}
    if key == "additionalProperties" and value is True:
        return value
    if key in _BRANCHES and isinstance(value, list):
        return [bounded(_typed(branch, schema), sizes) for branch in value]
    return bounded(value, sizes) if key in _SCHEMAS else value


def _typed(branch: Any, schema: dict[str, Any]) -> Any:
    """The branch with the type that stands beside it, where it has none of its own."""
    if "type" not in schema or branch is False:
        return branch
    return {"type": schema["type"], **(branch if isinstance(branch, dict) else {})}
