"""Schemas that come to an end: narrower than what was sent, never wider, and never endless where they can be helped."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from genai_stack.hosting.schema import Grammar
from genai_stack.tasks.bounded import Sizes, bounded

SIZES = Sizes(text=5, items=2)
ANYTHING = {"type": ["string", "number", "boolean", "null"], "maxLength": 5}
LITERAL = re.compile(r'"(\\.|[^"\\])*"|\[(\\.|[^\]\\])*\]')
NAMES = st.sampled_from(["a", "type", "items"])
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.just(True),
    st.fixed_dictionaries({}, optional={"description": st.just("said of it")}),
    st.fixed_dictionaries({"type": st.sampled_from(["string", "integer", "boolean", "null"])}),
    st.fixed_dictionaries(
        {"type": st.sampled_from([["string", "null"], ["null", "array"], "string"])},
        optional={"minLength": st.integers(0, 9)},
    ),
    st.fixed_dictionaries({"enum": st.just(["longer than five", 7])}),
    st.just({"type": "string", "maxLength": 9}),
    st.just({"type": "string", "oneOf": [{"const": "a", "title": "A"}, {"const": "longer than five"}]}),
    st.just({"type": "integer", "anyOf": [{"title": "x"}]}),
    st.just({"type": ["array", "string"], "enum": ["a", ["b"]]}),
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 4)}
        ),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner, min_size=1, max_size=3)},
            optional={"additionalProperties": st.booleans()},
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
    )


SCHEMAS = st.recursive(LEAVES, _containers, max_leaves=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "longer than five", "12345"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(SCHEMAS, VALUES)
def test_they_accept_nothing_else(schema: Any, value: Any) -> None:
    narrower = bounded(schema, SIZES)
    if Draft202012Validator(narrower).is_valid(value):
        assert Draft202012Validator(schema).is_valid(value)


@given(SCHEMAS)
def test_they_can_be_enforced_and_end(schema: Any) -> None:
    grammar = Grammar()
    root = grammar.schema({"anyOf": [bounded(schema, SIZES)]}, "schema")
    rules = dict(line.split(" ::= ", 1) for line in grammar.text(root).split("\n"))
    reached, todo = set[str](), [root]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += set(re.findall(r"\w+", LITERAL.sub(" ", rules[name]))) & set(rules)
    assert not {"value", "string", "array"} & reached


@pytest.mark.parametrize(
    ("schema", "narrower"),
    [
        ({"type": "string"}, {"type": "string", "maxLength": 5}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"], "maxLength": 5}),
        ({"type": "string", "minLength": 7}, {"type": "string", "minLength": 7, "maxLength": 7}),
        ({"type": "string", "pattern": "a+"}, {"type": "string", "pattern": "a+"}),
        ({"type": ["array", "null"], "items": False, "minItems": 3},
         {"type": ["array", "null"], "items": False, "minItems": 3, "maxItems": 3}),
        ({"type": "array", "prefixItems": [{"type": "null"}] * 3},
         {"type": "array", "prefixItems": [{"type": "null"}] * 3, "items": ANYTHING, "maxItems": 3}),
        ({"title": "It"}, {"title": "It", **ANYTHING}),
        ({"$defs": {"type": {"type": "string"}}, "$ref": "#/$defs/type"},
         {"$defs": {"type": {"type": "string", "maxLength": 5}}, "$ref": "#/$defs/type"}),
        ({"type": "string", "oneOf": [{"const": "a", "title": "A"}, {"const": "b"}]},
         {"type": "string",
          "oneOf": [{"type": "string", "const": "a", "title": "A"}, {"type": "string", "const": "b"}]}),
        ({"type": ["string", "null"], "anyOf": [{"pattern": "a+"}, {"minLength": 2}]},
         {"type": ["string", "null"],
          "anyOf": [{"type": ["string", "null"], "pattern": "a+"},
                    {"type": ["string", "null"], "minLength": 2, "maxLength": 5}]}),
        ({"type": "integer", "anyOf": [{"title": "x"}, True, False]},
         {"type": "integer", "anyOf": [{"type": "integer", "title": "x"}, {"type": "integer"}, False]}),
        ({"type": "array", "enum": [["a"], ["b"]]}, {"type": "array", "enum": [["a"], ["b"]]}),
        ({"nullable": True, "title": "x"}, {"nullable": True, "title": "x", **ANYTHING}),
        ({"type": "object", "additionalProperties": True}, {"type": "object", "additionalProperties": True}),
    ],
)  # fmt: skip
def test_what_is_open_gets_a_length(schema: Any, narrower: Any) -> None:
    assert bounded(schema, SIZES) == narrower


def test_lists_of_lists_are_read_once() -> None:
    schema: dict[str, Any] = {"type": "string"}
    narrower: dict[str, Any] = {"type": "string", "maxLength": 5}
    for _ in range(40):  # read twice at each depth, 40 would take days
        schema = {"type": "array", "items": schema}
        narrower = {"type": "array", "items": narrower, "maxItems": 2}
    assert bounded(schema, SIZES) == narrower
