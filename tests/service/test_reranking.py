"""/v1/rerank by a cross-encoder that a host serves, and by an encoder of texts that stands in for one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, cast

import pytest

from genai_stack.errors import EngineFailed
from genai_stack.ports import ModelVersion
from genai_stack.service import ApiKeys, build_app
from tests.service.conftest import MASTER, Api, assert_problem
from tests.service.fakes import MemoryRecords, MemoryRegistry, services, serving
from tests.service.media_host import MODELS, VllmHost

ROUTE = "/v1/rerank"
DOCUMENTS = ["a cat purrs", "the ship sails out of the harbour", "bread"]


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    host, registry, records = VllmHost(), MemoryRegistry(), MemoryRecords()
    registry.configured = {version.name: version for version in MODELS}
    keys = ApiKeys(records, MASTER)
    with serving(build_app(services(host, registry, records), keys=keys)) as port:
        yield Api(port, host, registry, records, keys)


@pytest.fixture
def api(served: Api) -> Api:
    served.host.reset()
    served.registry.tuned = {}
    served.registry.configured = {version.name: version for version in MODELS}
    return served


def rerank(api: Api, **more: Any) -> Any:
    answer = api.post(ROUTE, {"query": "ship harbour", "documents": DOCUMENTS, **more})
    assert answer.status == 200, answer
    return answer.json()


def test_a_reranker_is_asked_with_each_document(api: Api) -> None:
    found = rerank(api, model="judge", top_n=2)
    assert [(one["index"], one["relevance_score"]) for one in found["results"]] == [(1, 0.33), (0, 0.11)]
    assert found["results"][0]["document"] == {"text": DOCUMENTS[1]}
    assert (found["model"], found["usage"]["total_tokens"]) == ("judge", 9)
    assert rerank(api)["model"] == "judge"


def test_an_encoder_stands_in(api: Api) -> None:
    found = rerank(api, model="words", return_documents=False)
    assert found["results"][0]["index"] == 1
    assert all(0 <= one["relevance_score"] <= 1 and "document" not in one for one in found["results"])
    del api.registry.configured["judge"]
    assert rerank(api)["model"] == "words"


def test_a_long_document_is_scored_by_its_best_stretch(api: Api) -> None:
    long = " ".join(["filler"] * 300 + ["ship", "harbour"] + ["filler"] * 10)
    found = rerank(api, model="words", documents=[{"text": "the harbour"}, long, " "])
    assert len(found["results"]) == 3
    assert found["results"][-1] == {"index": 2, "relevance_score": 0.0, "document": {"text": " "}}
    assert cast(VllmHost, api.host).longest <= 64


def test_where_no_model_ranks_it_says_which_to_add(api: Api) -> None:
    api.registry.configured = {"chat": ModelVersion("chat", "builtin")}
    for more in ({}, {"model": "bge"}):
        answer = api.post(ROUTE, {"query": "q", "documents": ["d"], **more})
        problem = assert_problem(answer, 404)
        assert problem["code"] == "no_rerank_model"
        assert 'task = "rerank"' in problem["message"]
    assert_problem(api.post(ROUTE, {"query": "q", "documents": ["d"], "model": "chat"}), 400, param="model")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": [1]}, "documents[0]"),
        ({"documents": ["x"] * 1001}, "documents"),
        ({"query": ""}, "query"),
        ({"top_n": 0}, "top_n"),
        ({"rank_fields": ["a"]}, "rank_fields"),
        ({"model": "nope"}, "model"),
    ],
)
def test_requests_that_are_none(api: Api, change: dict[str, Any], param: str) -> None:
    answer = api.post(ROUTE, {"query": "q", "documents": ["d"], **change})
    assert_problem(answer, 404 if param == "model" else 400, param=param)


def test_answers_that_are_none(api: Api) -> None:
    for body in (b"{}", b'{"results": [{"index": 7, "relevance_score": 1}]}'):
        api.host.body = body
        assert_problem(api.post(ROUTE, {"query": "q", "documents": ["d"], "model": "judge"}), 500)
    api.host.failure = EngineFailed("broke")
    assert_problem(api.post(ROUTE, {"query": "q", "documents": ["d"], "model": "judge"}), 500)


def test_it_is_charged(api: Api) -> None:
    def counted() -> Any:
        rows = api.get("/v1/usage?by=model").json()["data"]
        return next((row["prompt_tokens"] for row in rows if row["model"] == "judge"), 0)

    before, until = counted(), time.monotonic() + 60
    rerank(api, model="judge")
    while counted() < before + 9:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_key_for_other_models_is_refused(api: Api) -> None:
    _, key = api.keys.create("narrow", models=("words",))
    body = {"query": "q", "documents": ["d"]}
    assert api.call("POST", ROUTE, body, key=key).json()["model"] == "words"
    assert_problem(api.call("POST", ROUTE, {**body, "model": "judge"}, key=key), 403)
