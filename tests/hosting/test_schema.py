"""Schemas to grammars: exact about numbers and patterns, narrow elsewhere, and refusing by name."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genai_stack.errors import RequestError
from genai_stack.hosting import numbers, patterns
from genai_stack.hosting.literals import literal
from genai_stack.hosting.schema import Grammar


def as_regex(grammar: str) -> re.Pattern[str]:
    """A grammar without rules, as a regular expression."""
    parts = re.findall(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|\{[0-9,]+\}|[()|?*+]|\s+', grammar)
    assert "".join(parts) == grammar
    return re.compile("".join(_terminal(part) if part[0] == '"' else part.strip() for part in parts))


def _terminal(part: str) -> str:
    text = part[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    text = re.sub(r"\\U([0-9a-f]{8})", lambda match: chr(int(match[1], 16)), text)
    return f"(?:{re.escape(text)})"


bounds = st.integers(-1200, 1200)


@given(bounds, bounds, st.lists(bounds, max_size=30))
@settings(max_examples=300)
def test_whole_numbers_between_bounds(low: int, high: int, tries: list[int]) -> None:
    assume(low <= high)
    regex = as_regex(numbers.bounded({"minimum": low, "maximum": high}, whole=True))
    for value in [*tries, low, high, low - 1, high + 1, 0, (low + high) // 2]:
        assert bool(regex.fullmatch(str(value))) == (low <= value <= high), value
    assert not regex.fullmatch("-0")


@given(bounds, bounds, st.booleans(), st.booleans(), st.lists(st.decimals(-1300, 1300, places=2), max_size=30))
@settings(max_examples=300)
def test_fractions_between_bounds(
    low: int, high: int, low_open: bool, high_open: bool, tries: list[Any]
) -> None:
    assume(low < high)
    asked = {
        "exclusiveMinimum" if low_open else "minimum": low,
        "exclusiveMaximum" if high_open else "maximum": high,
    }
    regex = as_regex(numbers.bounded(asked, whole=False))
    for value in [*tries, str(low), str(high), f"{low}.5", f"{high}.5", (low + high) / 2]:
        text = value if isinstance(value, str) else f"{value:f}".rstrip("0").rstrip(".") or "0"
        number = float(text)
        inside = (low < number if low_open else low <= number) and (
            number < high if high_open else number <= high
        )
        if regex.fullmatch(text):
            assert inside, text
        elif inside and not text.startswith("-0"):
            assert number == 0 or (number == int(number)), text


@pytest.mark.parametrize(
    "asked", [{"minimum": 0.5}, {"maximum": 10**16}, {"minimum": 5, "maximum": 4}, {"multipleOf": 3}], ids=str
)
def test_bounds_that_cant_be_enforced(asked: dict[str, Any]) -> None:
    with pytest.raises(numbers.CantEnforce):
        numbers.bounded(asked, whole=True)


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"^[A-Z]{2}-\d{3}$", ["AB-123"], ["AB-12", "ab-123", "xAB-123"]),
        (r"^(a|bc)+$", ["a", "bca"], ["", "b"]),
        (r"^a.c?$", ["abc", "a-"], ["a", "abcd"]),
        (r"^[^0-9]+$", ["abc"], ["a1", "", '"']),
        (r"^x{2,}$", ["xx", "xxxx"], ["x"]),
        (r"^\w+@\w+\.com$", ["a_1@b.com"], ["a@bXcom"]),
        (r"^é漢$", ["é漢"], ["e"]),
    ],
)
def test_patterns(pattern: str, good: list[str], bad: list[str]) -> None:
    regex = as_regex(patterns.from_regex(pattern))
    assert all(regex.fullmatch(text) for text in good)
    assert not any(regex.fullmatch(text) for text in bad)


@pytest.mark.parametrize("pattern", [r"(?=a)b", r"(a)\1", r"\bword", r"a{300}", r"(?i)a", "(", r"^[ -~]$"])
def test_patterns_that_cant_be_enforced(pattern: str) -> None:
    with pytest.raises(patterns.CantEnforce):
        patterns.from_regex(pattern)


OBJECT = {"type": "object"}


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"not": {}}, "not"),
        (OBJECT | {"minProperties": 1}, "minProperties"),
        (OBJECT | {"patternProperties": {"a": True}}, "patternProperties"),
        (OBJECT | {"if": True, "then": True}, "if"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": True}, "contains"),
        ({"type": "array", "maxItems": 10**6}, "maxItems"),
        ({"type": "string", "maxLength": 10**6}, "maxLength"),
        ({"type": "string", "format": "regex"}, "format"),
        ({"type": "string", "pattern": "(?=x)"}, "pattern"),
        ({"type": "string", "pattern": "x", "minLength": 3}, "minLength"),
        ({"type": "number", "multipleOf": 0.1}, "multipleOf"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"allOf": [OBJECT, OBJECT]}, "allOf"),
        ({"$ref": "https://example.com/x"}, "$ref"),
        ({"$ref": "#/$defs/missing"}, "$ref"),
        ({"$ref": "#"}, "$ref"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "$ref"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "$ref"),
        ({"oneOf": [{"$ref": "#/$defs/a"}, OBJECT], "$defs": {"a": {"$ref": "#/$defs/a"}}}, "oneOf"),
        ({"enum": [1], "minimum": 3}, "minimum"),
        ({"anyOf": [OBJECT], "properties": {}}, "properties"),
        (OBJECT | {"required": ["x"], "additionalProperties": False}, "required"),
        (OBJECT | {"properties": {"deep": {"items": {"not": {}}}}}, "not"),
    ],
    ids=str,
)
def test_a_keyword_that_cant_be_enforced_is_named(schema: dict[str, Any], keyword: str) -> None:
    with pytest.raises(RequestError, match=re.escape(f"'{keyword}'")) as caught:
        Grammar().schema(schema, "response_format")
    assert (caught.value.status, caught.value.param) == (400, "response_format")


@pytest.mark.parametrize(
    "schema", [{"type": "objekt"}, {"required": "a"}, {"minimum": "3"}, {"properties": []}], ids=str
)
def test_what_is_no_schema_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        Grammar().schema(schema, "p")
    assert caught.value.code == "invalid_schema"


def test_a_tools_parameters_are_an_object() -> None:
    with pytest.raises(RequestError, match="'type'"):
        Grammar().schema({"type": "array"}, "p", top="object")


@given(st.text())
def test_literals_survive(text: str) -> None:
    assume("\\u" not in text)
    written = literal(text)
    assert written.isascii()
    assert "\n" not in written


def test_recursion_through_an_object_or_array_is_fine() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}, "all": {"items": {"$ref": "#"}}}}
    assert Grammar().schema(tree, "p")


def test_a_grammar_too_large_for_the_engine_is_refused() -> None:
    grammar = Grammar()
    root = grammar.schema({"enum": ["x" * 50 + str(i) for i in range(5000)]}, "p")
    with pytest.raises(RequestError, match="too large"):
        grammar.text(root)
