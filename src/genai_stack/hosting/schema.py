"""JSON Schema to a grammar (EBNF, as xgrammar reads it) that writes only documents the schema accepts.

The grammar may be narrower than the schema (it never adds properties that aren't declared, and writes one space or
none after a comma or colon), never wider: a keyword that can't be enforced is refused by name. It is ours, rather
than the engine's own reading of schemas, because that one skips keywords it doesn't know, lets white space run on
without end, and takes the whole engine down with a schema it can't read.
"""

from __future__ import annotations

from typing import Any

from ..errors import RequestError
from . import numbers, patterns
from .exclusive import TYPES, disjoint, is_of
from .literals import as_json, literal

_ANNOTATIONS = frozenset(
    (
        "title description default examples example deprecated readOnly writeOnly $schema $id $comment $defs "
        "definitions discriminator contentMediaType contentEncoding nullable strict"
    ).split()
)
_OF_TYPE: dict[str, tuple[str, ...]] = {
    "object": ("properties", "required", "additionalProperties", "unevaluatedProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "boolean": (),
    "null": (),
}
_KNOWN = frozenset(
    "minProperties maxProperties patternProperties propertyNames dependentRequired dependentSchemas dependencies "
    "uniqueItems contains minContains maxContains unevaluatedItems additionalItems not if then else "
    "$dynamicRef $recursiveRef".split()
) | {keyword for keywords in _OF_TYPE.values() for keyword in keywords}
MAX_LENGTH = 256
"""The longest `minLength` or `maxLength`: beyond it the engine takes too long for each token."""
MAX_ITEMS = 256
MAX_GRAMMAR = 200_000
"""Characters: a longer grammar would hold up everybody's next token while the engine reads it."""
_MOST_REFERENCES = 8
"""How many references in a row are followed to see whether branches exclude one another."""
_COMMA, _COLON = '"," " "?', '":" " "?'
_SHARED = {
    "string": r'"\"" char* "\""',
    "char": patterns.CHARACTER + r""" | "\\" ["\\/bfnrt]""",
    "value": 'object | array | string | number | "true" | "false" | "null"',
    "object": f'"{{" (string {_COLON} value ({_COMMA} string {_COLON} value)*)? "}}"',
    "array": f'"[" (value ({_COMMA} value)*)? "]"',
    "number": numbers.ANY,
    "integer": numbers.ANY_INTEGER,
    "boolean": '"true" | "false"',
    "null": '"null"',
}


class Grammar:
    """Rules, gathered while schemas are read."""

    def __init__(self) -> None:
        self._rules = dict(_SHARED)
        self._references: dict[tuple[int, str], str] = {}
        self._entered: list[tuple[int, str]] = []
        self._root: dict[str, Any] = {}
        self._param = ""

    def text(self, root: str) -> str:
        """The whole grammar; `root` is the expression it starts from. Raises RequestError when it is too large."""
        rules = {"root": root, **self._rules}
        text = "\n".join(f"{name} ::= {body}" for name, body in rules.items())
        if len(text) > MAX_GRAMMAR:
            raise RequestError(
                "The schemas are too large to be enforced; send fewer tools, or smaller schemas.",
                param=self._param,
                code="unsupported_schema",
            )
        return text

    def any_object(self) -> str:
        return "object"

    def schema(self, schema: dict[str, Any], param: str, *, top: str | None = None) -> str:
        """The name of a rule for `schema`. `param` is where it stands in the request, `top` the type it must have.
        Raises RequestError: the schema is no JSON Schema, or holds a keyword that can't be enforced."""
        _check(schema, param)
        self._root, self._param = schema, param
        if top and schema.get("type", top) != top:
            raise self._refusal("type", f"must be {top!r} here")
        return self._rule(self._read({**schema, "type": top} if top and "$ref" not in schema else schema))

    def _rule(self, body: str) -> str:
        name = f"r{len(self._rules)}"
        self._rules[name] = body
        return name

    def _read(self, schema: Any) -> str:
        """An expression, safe to stand inside a sequence."""
        if schema is True or schema == {}:
            return "value"
        if schema is False:
            raise self._refusal("false", "accepts nothing")
        asked = {key: value for key, value in schema.items() if key not in _ANNOTATIONS}
        for combiner in ("$ref", "const", "enum", "anyOf", "oneOf", "allOf"):
            if combiner in asked:
                return self._combined(combiner, asked)
        for keyword in asked:
            if keyword in _KNOWN and not any(keyword in known for known in _OF_TYPE.values()):
                if (keyword, asked[keyword]) in (("uniqueItems", False), ("additionalItems", False)):
                    continue
                raise self._refusal(keyword, "can't be enforced")
        types = asked.get("type", _implied(asked))
        kinds = [types] if isinstance(types, str) else list(types)
        return "(" + " | ".join(self._typed(kind, asked) for kind in kinds) + ")"

    def _combined(self, combiner: str, asked: dict[str, Any]) -> str:
        beside = [key for key in asked if key in _KNOWN or (key != combiner and key in _COMBINERS)]
        if combiner in ("const", "enum"):
            values = [asked["const"]] if combiner == "const" else asked["enum"]
            if "type" in asked:
                kinds = asked["type"] if isinstance(asked["type"], list) else [asked["type"]]
                values = [value for value in values if any(is_of(value, kind) for kind in kinds)]
            if beside:
                raise self._refusal(beside[0], f"can't be enforced beside '{combiner}'")
            if not values:
                raise self._refusal(combiner, "leaves no value of the 'type'")
            return "(" + " | ".join(literal(as_json(value)) for value in values) + ")"
        if beside:
            raise self._refusal(beside[0], f"can't be enforced beside '{combiner}'")
        if combiner == "$ref":
            return self._reference(asked["$ref"])
        branches = asked[combiner]
        if "type" in asked:
            branches = [
                b if not isinstance(b, dict) or "type" in b else {**b, "type": asked["type"]} for b in branches
            ]
        if combiner == "allOf" and len(branches) > 1:
            raise self._refusal("allOf", "with several schemas can't be enforced")
        if combiner == "oneOf" and not self._exclusive(branches):
            raise self._refusal(
                "oneOf", "can't be enforced where several branches may accept a value; use 'anyOf'"
            )
        return "(" + " | ".join(self._read(branch) for branch in branches) + ")"

    def _reference(self, reference: str) -> str:
        key = (id(self._root), reference)
        if key in self._entered:
            raise self._refusal("$ref", f"{reference!r} comes back to itself with no object or array between")
        if key not in self._references:
            name = self._references[key] = self._rule("")
            self._entered.append(key)
            self._rules[name] = self._read(self._target(reference))
            self._entered.remove(key)
        return self._references[key]

    def _inner(self, schema: Any) -> str:
        """What stands inside of an object or array, where coming back to a reference is no endless loop."""
        entered, self._entered = self._entered, []
        try:
            return self._read(schema)
        finally:
            self._entered = entered

    def _target(self, reference: str) -> Any:
        node: Any = self._root
        if not reference.startswith("#"):
            raise self._refusal("$ref", f"{reference!r} isn't within the schema")
        for part in reference[1:].split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, dict) and part in node:
                node = node[part]
            else:
                raise self._refusal("$ref", f"{reference!r} names nothing")
        return node

    def _exclusive(self, branches: list[Any]) -> bool:
        """Whether no value can be accepted by two of `branches`, as far as types and constants tell."""
        resolved = []
        for branch in branches:
            for _ in range(_MOST_REFERENCES):
                if isinstance(branch, dict) and "$ref" in branch:
                    branch = self._target(branch["$ref"])
            resolved.append(branch)
        return all(disjoint(a, b) for i, a in enumerate(resolved) for b in resolved[:i])

    def _typed(self, kind: str, asked: dict[str, Any]) -> str:
        own = {key: asked[key] for key in _OF_TYPE[kind] if key in asked}
        if kind == "object":
            return self._object(own)
        if kind == "array":
            return self._array(own)
        if kind == "string":
            return self._string(own)
        if kind in ("integer", "number"):
            return self._number(kind, own)
        return kind

    def _number(self, kind: str, own: dict[str, Any]) -> str:
        if not own:
            return kind
        try:
            return self._rule(numbers.bounded(own, whole=kind == "integer"))
        except numbers.CantEnforce as error:
            raise self._refusal(error.keyword, str(error)) from None

    def _string(self, own: dict[str, Any]) -> str:
        if "pattern" in own or "format" in own:
            if len(own) > 1:
                keyword = next(key for key in own if key not in ("pattern", "format"))
                raise self._refusal(keyword, "can't be enforced beside 'pattern' or 'format'")
            keyword, value = next(iter(own.items()))
            try:
                body = patterns.from_regex(value) if keyword == "pattern" else patterns.from_format(value)
            except patterns.CantEnforce as error:
                raise self._refusal(keyword, str(error)) from None
            return self._rule(rf'"\"" ({body}) "\""')
        least, most = int(own.get("minLength", 0)), own.get("maxLength")
        if max(least, int(most or 0)) > MAX_LENGTH:
            keyword = "maxLength" if most is not None and most > MAX_LENGTH else "minLength"
            raise self._refusal(keyword, f"can be enforced up to {MAX_LENGTH} only")
        if not least and most is None:
            return "string"
        if most is None:
            return self._rule(rf'"\"" {patterns.CHARACTER}{{{least}}} char* "\""')
        if most < least:
            raise self._refusal("maxLength", "is below 'minLength'")
        return self._rule(rf'"\"" {patterns.CHARACTER}{{{least},{int(most)}}} "\""')

    def _array(self, own: dict[str, Any]) -> str:
        first = [self._inner(schema) for schema in own.get("prefixItems", ())]
        rest = own.get("items", True)
        least, most = int(own.get("minItems", 0)), own.get("maxItems")
        most = len(first) if rest is False else most
        if max(least, int(most or 0)) > MAX_ITEMS:
            raise self._refusal(
                "minItems" if least > MAX_ITEMS else "maxItems", f"is enforced up to {MAX_ITEMS} only"
            )
        if most is not None and most < least:
            raise self._refusal("maxItems", "is below 'minItems'")
        if most == 0:
            return '"[]"'
        item = self._rule(self._inner(rest)) if rest is not False else ""
        # From the back: what may follow once `count` items are written.
        upper = max(len(first), least) if most is None else int(most)
        follow = self._rule(f"({_COMMA} {item})*") if most is None else '""'
        for count in range(upper - 1, 0, -1):
            nth = first[count] if count < len(first) else item
            step = f"{_COMMA} {nth} {follow}"
            follow = self._rule(step if count < least else f"({step})?")
        opening = f"{first[0] if first else item} {follow}" if upper else f"{item} {follow}"
        return f'"[" {opening} "]"' if least else f'"[" ({opening})? "]"'

    def _object(self, own: dict[str, Any]) -> str:
        properties: dict[str, Any] = dict(own.get("properties", {}))
        required = own.get("required", [])
        extra = own.get("additionalProperties", True)
        for name in required:
            if name not in properties:
                if extra is False:
                    raise self._refusal("required", f"names {name!r}, which 'additionalProperties' rules out")
                properties[name] = extra
        if not properties:
            if extra is False:
                return '"{}"'
            if extra is True or extra == {}:
                return "object"
            value = self._rule(self._inner(extra))
            pair = f"string {_COLON} {value}"
            return f'"{{" ({pair} ({_COMMA} {pair})*)? "}}"'
        # From the back: what follows when nothing, or something, is written before property i.
        pairs = [
            (name, f"{literal(as_json(name))} {_COLON} {self._inner(value)}")
            for name, value in properties.items()
        ]
        nothing, something = '""', '""'
        for name, pair in reversed(pairs):
            after_first, after = f"{pair} {something}", f"{_COMMA} {pair} {something}"
            if name not in required:
                after_first, after = f"{after_first} | {nothing}", f"{after} | {something}"
            nothing, something = self._rule(after_first), self._rule(after)
        return f'"{{" {nothing} "}}"'

    def _refusal(self, keyword: str, why: str) -> RequestError:
        return RequestError(
            f"'{self._param}': the keyword '{keyword}' {why}; change the schema.",
            param=self._param,
            code="unsupported_schema",
        )


_COMBINERS = ("$ref", "const", "enum", "anyOf", "oneOf", "allOf")


def _implied(asked: dict[str, Any]) -> list[str]:
    """The types a schema without `type` speaks of; every type when it speaks of none."""
    found = [kind for kind, keywords in _OF_TYPE.items() if any(key in asked for key in keywords)]
    if "number" in found and "integer" in found:
        found.remove("integer")
    return found or [kind for kind in TYPES if kind != "integer"]


def _check(schema: dict[str, Any], param: str) -> None:
    """Raises RequestError for what isn't a JSON Schema at all."""
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "the schema"
        raise RequestError(
            f"'{param}' isn't a valid JSON Schema: {where}: {error.message}; correct it.",
            param=param,
            code="invalid_schema",
        ) from None
