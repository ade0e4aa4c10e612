"""/openapi.json is a valid document and says of every parameter what the decoder enforces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from genai_stack.protocol import requests
from genai_stack.service.openapi import document
from tests.service.conftest import GOOD, Api
from tests.service.fakes import ANSWERS

SPEC: dict[str, Any] = json.loads(document())


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": SPEC["components"]})


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(child) for child in node.values()))
    return set().union(*(references(child) for child in node)) if isinstance(node, list) else set()


def test_it_is_served_without_a_key(api: Api) -> None:
    assert api.get("/openapi.json", key=None).json() == SPEC


def test_it_is_a_whole_openapi_document() -> None:
    assert SPEC["openapi"].startswith("3.1.")
    for name, schema in SPEC["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name.isidentifier()
    for reference in references(SPEC):
        assert reference.removeprefix("#/components/schemas/") in SPEC["components"]["schemas"]
    operations = [op for path in SPEC["paths"].values() for op in path.values()]
    assert len({op["operationId"] for op in operations}) == len(operations)
    for op in operations:
        assert op["responses"]["200"]["description"]


def test_every_path_is_one_that_answers(api: Api) -> None:
    for path, methods in SPEC["paths"].items():
        allowed = api.call("OPTIONS", path.replace("{model}", "x")).headers["allow"].split(", ")
        assert {m.upper() for m in methods} == set(allowed) - {"OPTIONS", "HEAD"}


@pytest.mark.parametrize("route", list(GOOD))
def test_requests_and_answers_fit_their_schemas(route: str) -> None:
    post = SPEC["paths"][route]["post"]
    request = validator(post["requestBody"]["content"]["application/json"]["schema"])
    request.validate(GOOD[route])
    assert not request.is_valid({**GOOD[route], "frobnicate": 1})
    assert not request.is_valid({**GOOD[route], "model": 5})
    reply = validator(post["responses"]["200"]["content"]["application/json"]["schema"])
    reply.validate(ANSWERS[route])


def test_bounds_are_told() -> None:
    chat = SPEC["components"]["schemas"]["ChatRequest"]["properties"]
    assert set(chat) == set(requests.ChatRequest.__struct_fields__)
    assert {"type": "number", "minimum": 0, "maximum": 2} in chat["temperature"]["anyOf"]
    assert chat["logit_bias"]["type"] == "null"
