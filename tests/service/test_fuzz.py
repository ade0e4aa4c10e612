"""No bytes that anyone can think of give a 5xx."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.conftest import GOOD, Api

SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
ROUTES = st.sampled_from(list(GOOD))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
FIELDS = st.sampled_from(
    sorted(
        {
            *(
                "model messages prompt input tokens stream stream_options max_tokens temperature top_p n stop".split()
            ),
            *(
                "seed logprobs top_logprobs tools tool_choice response_format metadata user best_of suffix".split()
            ),
            *("text steps layers heads positions attention_top neighbours compare vectors top_k lens".split()),
        }
    )
)


def check(api: Api, route: str, body: bytes) -> None:
    answer = api.post(route, body)
    assert answer.status < 500, (route, body, answer)
    if answer.status != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@SETTINGS
@given(ROUTES, st.binary(max_size=300))
def test_any_bytes(api: Api, route: str, body: bytes) -> None:
    check(api, route, body)


@SETTINGS
@given(ROUTES, VALUES)
def test_any_json(api: Api, route: str, value: Any) -> None:
    check(api, route, json.dumps(value).encode())


@SETTINGS
@given(ROUTES, st.dictionaries(FIELDS, VALUES, max_size=4))
def test_any_values_in_known_fields(api: Api, route: str, fields: dict[str, Any]) -> None:
    check(api, route, json.dumps({**GOOD[route], **fields}).encode())


@SETTINGS
@given(ROUTES, st.data())
def test_any_damage_to_a_good_body(api: Api, route: str, data: st.DataObject) -> None:
    body = bytearray(json.dumps(GOOD[route]).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    check(api, route, bytes(body))


@SETTINGS
@given(st.text(max_size=40))
def test_any_path(api: Api, path: str) -> None:
    from urllib.parse import quote

    answer = api.get(f"/v1/models/{quote(path)}")
    assert answer.status in (200, 404)
