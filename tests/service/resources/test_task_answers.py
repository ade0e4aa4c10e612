"""/v1/tasks/answer over a vector store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import openai
import pytest

from genai_stack.service.ledger import Page, collection
from tests.service.conftest import MASTER, assert_problem
from tests.service.fakes import EMBED
from tests.service.resources.conftest import Stack
from tests.service.resources.test_stores import filled

ROUTE = "/v1/tasks/answer"


@pytest.fixture
def host(stack: Stack) -> Iterator[Any]:
    yield stack.api.host
    stack.api.host.body = None


def say(host: Any, text: str) -> None:
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    host.body = json.dumps({"choices": choices, "usage": {"prompt_tokens": 9, "completion_tokens": 3}}).encode()


def test_citations_are_of_files(stack: Stack, client: openai.OpenAI, host: Any) -> None:
    text = "Nothing of note. Bread is baked in an oven at dawn.\nShips lie in the harbour."
    file = client.files.create(file=("notes.txt", text.encode()), purpose="assistants")
    store = client.vector_stores.create(name="x")
    client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, poll_interval_ms=20)
    say(host, "In an oven, at dawn.")
    body = {"question": "Where is bread baked?", "vector_store_id": store.id}
    found = stack.api.post(ROUTE, body).json()
    (cited,) = found["citations"]
    assert (cited["file_id"], cited["filename"], cited["text"]) == (
        file.id,
        "notes.txt",
        "Bread is baked in an oven at dawn.",
    )
    assert text[cited["start"] : cited["end"]] == cited["text"]
    assert found["found"]
    assert found["confidence"] is None
    assert "oven at dawn" in json.loads(host.seen[-1][2])["messages"][-1]["content"]
    nothing = {"type": "eq", "key": "no", "value": 1}
    none = stack.api.post(ROUTE, {**body, "filters": nothing}).json()
    assert (none["found"], none["answer"], none["usage"]["calls"]) == (False, None, 0)


def test_the_search_is_charged(stack: Stack, client: openai.OpenAI, host: Any) -> None:
    store, _ = filled(client)
    say(host, "Yes.")
    _, key = stack.api.keys.create("searcher", tenant="master")

    def rows() -> dict[str, Any]:
        found = stack.api.get("/v1/usage?by=model", key=key).json()["data"]
        return {row["model"]: row["prompt_tokens"] for row in found}

    before = rows().get(EMBED, 0)
    asked = stack.api.call("POST", ROUTE, {"question": "Who?", "vector_store_id": store.id}, key=key)
    assert asked.status == 200
    deadline = time.monotonic() + 60
    while (now := rows().get(EMBED, 0)) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert now > before
    pages = stack.services.records.query(collection("master"), limit=1000)
    entries = [entry for page in pages for entry in msgspec.convert(page.item, Page).entries]
    told = [entry.served for entry in entries if entry.what == asked.headers["x-request-id"]]
    assert sorted(map(bool, told)) == [False, True], (
        "the search, and the task, by whose seconds prices by the hour go"
    )


def test_whose_store_it_is(stack: Stack, client: openai.OpenAI, host: Any) -> None:
    store, _ = filled(client)
    say(host, "Yes.")
    body = {"question": "Who?", "vector_store_id": store.id}
    unknown = {**body, "vector_store_id": store.id[:-1] + ("0" if store.id[-1] != "0" else "1")}
    told = assert_problem(stack.api.call("POST", ROUTE, body, key=stack.other), 404, param="vector_store_id")
    other = assert_problem(stack.api.call("POST", ROUTE, unknown, key=MASTER), 404, param="vector_store_id")
    assert told["message"].replace(body["vector_store_id"], "") == other["message"].replace(
        unknown["vector_store_id"], ""
    )
    _, key = stack.api.keys.create("asks only", scopes=("inference",))
    assert assert_problem(stack.api.call("POST", ROUTE, body, key=key), 403)["code"] == "insufficient_scope"
