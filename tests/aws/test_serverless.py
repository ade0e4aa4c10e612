"""A model on serverless processors: one route, bodies of a limited size, and nothing to place or move."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from genai_stack import names
from genai_stack.aws.host import SageMakerHost
from genai_stack.aws.removal.beside import Beside
from genai_stack.aws.serverless import MOST, ROUTE
from genai_stack.errors import Overloaded, RequestError, TooLarge
from tests.aws.hosting import BODY, CHAT, hosted, streamed
from tests.aws.runtime_stand_in import StandIn, always, model_error, refusal

OPEN = hosted("open", serverless=True)


async def test_it_is_asked_without_a_component(host: SageMakerHost, upstream: StandIn) -> None:
    upstream.script = always(lambda: web.json_response({"object": "anatomy"}))
    reply = await host.invoke("open", ROUTE, BODY)
    assert json.loads(reply.body) == {"object": "anatomy"}
    (call,) = upstream.calls
    assert call.path == f"/endpoints/{names.endpoint('dev', 'open')}/invocations"
    assert "x-amzn-sagemaker-inference-component" not in call.headers
    assert call.headers["x-amzn-sagemaker-custom-attributes"] == f"route={ROUTE}"


async def test_its_own_refusal_and_sagemaker_s_are_told(host: SageMakerHost, upstream: StandIn) -> None:
    problem = json.dumps(
        {"error": {"message": "too large", "type": "x", "param": None, "code": "answer_too_large"}}
    )
    upstream.script = always(lambda: model_error(400, problem))
    reply = await host.invoke("open", ROUTE, BODY)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (400, "answer_too_large")
    upstream.script = always(lambda: refusal(400, "ThrottlingException", "Rate exceeded"))
    with pytest.raises(Overloaded):
        await host.invoke("open", ROUTE, BODY)


async def test_what_it_doesn_t_serve_goes_nowhere(host: SageMakerHost, upstream: StandIn) -> None:
    for asking in (host.invoke("open", CHAT, BODY), streamed(host, "open"), host.direct("open")):
        with pytest.raises(RequestError):
            await asking
    with pytest.raises(TooLarge, match="takes 4000000"):
        await host.invoke("open", ROUTE, b" " * (MOST + 1))
    assert upstream.calls == []


def test_a_removal_waits_for_no_components_of_it() -> None:
    told: list[Any] = []
    beside = Beside("dev", make=lambda service: None)
    beside.remove_components({"open": OPEN}, lambda *step: told.append(step))
    assert told == []
