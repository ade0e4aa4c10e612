"""Models asked directly: answers decoded, refusals raised, streams that must end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from genai_stack.client.hosting import AsyncHosting, Hosting
from genai_stack.client.loop import LoopThread
from genai_stack.errors import Conflict, EngineFailed, NotFound, Overloaded, RequestError
from genai_stack.ports import ModelVersion, Reply, Services
from tests.client.fakes import make_services
from tests.service.fakes import ANSWERS


@pytest.fixture
def services(home: Path) -> Services:
    return make_services(home)


@pytest.fixture
def hosting(services: Services) -> Any:
    loop = LoopThread()
    yield Hosting(services, loop)
    loop.close()
    loop.close()


def host(services: Services) -> Any:
    return services.models


def test_an_answer_comes_back_decoded(services: Services, hosting: Hosting) -> None:
    assert hosting.invoke("builtin", {"messages": []}) == {"ok": True}
    hosting.invoke("e", {"input": "x"}, route="/v1/embeddings")
    assert host(services).asked == [
        ("builtin", "/v1/chat/completions", {"messages": [], "model": "builtin"}),
        ("e", "/v1/embeddings", {"input": "x", "model": "e"}),
    ]


def test_an_anatomy_comes_back_typed(services: Services, hosting: Hosting) -> None:
    told = ANSWERS["/v1/anatomy"]
    host(services).reply = Reply(200, "application/json", msgspec.json.encode(told))
    found = hosting.anatomy("Hi", model="builtin", heads="mean", top_k=1)
    assert host(services).asked == [
        ("builtin", "/v1/anatomy", {"text": "Hi", "heads": "mean", "top_k": 1, "model": "builtin"})
    ]
    assert found.tokens[0].text == "Hi"
    host(services).reply = Reply(200, "application/json", b'{"object": "list"}')
    with pytest.raises(EngineFailed, match="/v1/anatomy"):
        hosting.anatomy("Hi", model="builtin")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (429, Overloaded), (400, RequestError), (500, EngineFailed), (503, EngineFailed)],
)
def test_a_refusal_is_raised(services: Services, hosting: Hosting, status: int, kind: type[Exception]) -> None:
    body = b'{"error": {"message": "no", "type": "t", "param": "p", "code": "c"}}'
    host(services).reply = Reply(status, "application/json", body)
    host(services).status, host(services).parts = status, [body[:9], body[9:]]
    for call in (lambda: hosting.invoke("m", {}), lambda: list(hosting.stream("m", {}))):
        with pytest.raises(kind) as caught:
            call()
        assert type(caught.value) is kind
        assert (str(caught.value), caught.value.param, caught.value.code) == ("no", "p", "c")


def test_a_refusal_without_a_body_is_one_too(services: Services, hosting: Hosting) -> None:
    host(services).reply = Reply(502, "text/html", b"<html>")
    with pytest.raises(EngineFailed, match="answered 502"):
        hosting.invoke("m", {})


def test_chunks_come_decoded_however_they_were_cut(services: Services, hosting: Hosting) -> None:
    assert list(hosting.stream("m", {"messages": []})) == [{"n": 1}, {"n": 2}]
    assert host(services).asked[0][2] == {"messages": [], "model": "m", "stream": True}
    assert host(services).left == 1


def test_a_stream_must_end(services: Services, hosting: Hosting) -> None:
    host(services).parts = [b'data: {"n": 1}\n\n']
    stream = hosting.stream("m", {})
    assert next(stream) == {"n": 1}
    with pytest.raises(EngineFailed, match="broke off"):
        next(stream)
    host(services).parts = [b'data: {"error": {"message": "the engine died"}}\n\n']
    with pytest.raises(EngineFailed, match="the engine died"):
        list(hosting.stream("m", {}))


def test_leaving_a_stream_early_lets_go_of_it(services: Services, hosting: Hosting) -> None:
    stream = hosting.stream("m", {})
    next(stream)
    assert host(services).left == 0
    stream.close()  # type: ignore[attr-defined]
    assert host(services).left == 1


def test_models_are_deployed_listed_and_deleted(services: Services, hosting: Hosting) -> None:
    hosting.deploy("builtin")
    hosting.deploy("mine", "/models/mine")
    hosting.deploy("tuned", "/adapters/1", base="mine")
    listed = {m.name: m for m in hosting.list()}
    assert list(listed) == ["builtin", "all-minilm-l6-v2", "mine", "tuned"]
    assert [m.live for m in listed.values()] == [True, False, True, True]
    assert listed["mine"].created > 0
    with pytest.raises(Conflict):
        hosting.deploy("mine", "/models/other")
    hosting.delete("tuned")
    assert "tuned" not in host(services).up
    with pytest.raises(NotFound):
        hosting.delete("tuned")
    with pytest.raises(Conflict):
        hosting.delete("builtin")


def test_a_model_that_does_not_come_up_is_forgotten(
    services: Services, hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosting.deploy("old", "/models/old")

    async def broken(model: str) -> None:
        raise EngineFailed("no")

    monkeypatch.setattr(services.models, "deploy", broken)
    for name in ("old", "new"):
        with pytest.raises(EngineFailed):
            hosting.deploy(name, f"/models/{name}")
    assert [m.name for m in hosting.list()] == ["builtin", "all-minilm-l6-v2", "old"]


async def test_the_asynchronous_twin(services: Services) -> None:
    hosting = AsyncHosting(services)
    services.registry.register(ModelVersion("x", "/x"))
    assert await hosting.invoke("x", {}) == {"ok": True}
    assert [chunk["n"] async for chunk in hosting.stream("x", {})] == [1, 2]
    assert [m.name for m in await hosting.list() if m.live] == []
