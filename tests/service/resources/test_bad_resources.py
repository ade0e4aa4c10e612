"""No bytes that anyone can think of give a 5xx on these routes, and nobody gets in without a key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_stack.service.resources.operations import OPERATIONS, Operation
from tests.service.conftest import assert_problem
from tests.service.resources.conftest import Stack

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
POSTS = st.sampled_from([op for op in OPERATIONS if op.method == "post"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
FIELDS = st.sampled_from(
    "bytes filename mime_type purpose expires_after part_ids md5 input_file_id endpoint completion_window metadata "
    "model training_file validation_file suffix seed method hyperparameters integrations name description file_ids "
    "files file_id chunking_strategy attributes query filters max_num_results ranking_options rewrite_query input "
    "instructions tools tool_choice text items conversation previous_response_id include store stream prompt seconds "
    "size input_reference seed".split()
)


def check(answer: Any) -> None:
    assert answer.status < 500, answer
    if answer.status != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("op", OPERATIONS, ids=lambda op: op.id)
def test_no_key_no_answer(stack: Stack, op: Operation) -> None:
    assert_problem(stack.api.call(op.method.upper(), op.path, key=None), 401)


@SETTINGS
@given(POSTS, st.dictionaries(FIELDS, VALUES, max_size=5))
def test_any_values_in_known_fields(stack: Stack, op: Operation, fields: dict[str, Any]) -> None:
    check(stack.api.post(op.path, json.dumps(fields).encode()))


@SETTINGS
@given(POSTS, st.binary(max_size=200))
def test_any_bytes(stack: Stack, op: Operation, body: bytes) -> None:
    check(stack.api.post(op.path, body))
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + body
    check(stack.api.post(op.path, form, {"content-type": "multipart/form-data; boundary=x"}))


@SETTINGS
@given(st.sampled_from([op for op in OPERATIONS if op.method == "get"]), st.text(max_size=30))
def test_any_query_and_id(stack: Stack, op: Operation, text: str) -> None:
    from urllib.parse import quote

    check(stack.api.get(op.path.replace("{id}", quote(text, safe="") or "x")))
    check(stack.api.get(f"{op.path}?{quote(text, safe='=&[]')}"))


@pytest.mark.parametrize(
    "headers", [{"idempotency-key": ""}, {"idempotency-key": "é"}, {"idempotency-key": "x" * 256}]
)
def test_idempotency_keys_that_are_none(stack: Stack, headers: dict[str, str]) -> None:
    assert_problem(stack.api.post("/v1/batches", {}, headers), 400)
    good = {"input_file_id": "file-x", "endpoint": "/v1/embeddings", "completion_window": "24h"}
    told = assert_problem(stack.api.post("/v1/batches", good, headers), 400)
    assert told["code"] == "invalid_idempotency_key"
