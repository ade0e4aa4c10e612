"""ModelHost: what every adapter owes. What answers is an echo with the container's contract (fake_hosting.py)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import EngineFailed, ModelWarming, NotFound, RequestError
from genai_stack.ports import ModelHost, ModelRegistry, ModelVersion
from tests.contracts.adapters import HOSTS, REGISTRIES

CHAT = "/v1/chat/completions"


@pytest.fixture(params=HOSTS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def host(adapter: str, tmp_path: Path) -> AsyncIterator[ModelHost]:
    host = HOSTS[adapter](tmp_path)
    yield host
    await host.close()


@pytest.fixture
def registry(adapter: str, tmp_path: Path) -> ModelRegistry:
    registry = REGISTRIES[adapter](tmp_path)
    for name in ("ft:builtin:a:1", "ft:builtin:b:2"):
        registry.register(ModelVersion(name, f"/models/{name[-1]}", base="builtin"))
    return registry


def ask(model: str, **more: Any) -> bytes:
    return json.dumps({"model": model, **more}).encode()


async def test_invoke(host: ModelHost, registry: ModelRegistry) -> None:
    reply = await host.invoke("builtin", CHAT, ask("builtin"))
    assert (reply.status, reply.content_type.partition(";")[0]) == (200, "application/json")
    assert json.loads(reply.body) == {"model": "builtin", "route": f"route={CHAT}", "adapter": None}
    reply = await host.invoke("all-minilm-l6-v2", "/v1/embeddings", ask("all-minilm-l6-v2"))
    assert json.loads(reply.body)["route"] == "route=/v1/embeddings"


async def test_a_body_may_be_of_another_kind(host: ModelHost) -> None:
    kind = "multipart/form-data; boundary=b"
    reply = await host.invoke("builtin", "/v1/audio/transcriptions", ask("builtin"), kind=kind)
    assert json.loads(reply.body)["kind"] == kind


async def test_stream(host: ModelHost) -> None:
    async with host.stream("builtin", CHAT, ask("builtin", stream=True, chunks=2)) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        body = b"".join([chunk async for chunk in answer])
    assert body == b'data: {"n": 0}\n\ndata: {"n": 1}\n\ndata: [DONE]\n\n'


async def test_chunks_come_as_they_are_made(host: ModelHost) -> None:
    await host.deploy("builtin")
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with host.stream("builtin", CHAT, ask("builtin", stream=True, chunks=5, pause=0.2)) as answer:
        async for chunk in answer:
            assert chunk == b'data: {"n": 0}\n\n'
            assert loop.time() - begun < 0.5
            break


async def test_adapters_answer_beside_their_base(host: ModelHost, registry: ModelRegistry) -> None:
    names = ["builtin", "ft:builtin:a:1", "ft:builtin:b:2"] * 5
    replies = await asyncio.gather(*(host.invoke(name, CHAT, ask(name)) for name in names))
    answers = [json.loads(reply.body) for reply in replies]
    assert [a["model"] for a in answers] == names
    assert [a["adapter"] for a in answers[:3]] == [None, "/models/1", "/models/2"]


async def test_errors_are_the_containers_own(host: ModelHost) -> None:
    for fake, status in (("busy", 429), ("missing", 404)):
        reply = await host.invoke("builtin", CHAT, ask("builtin", fake=fake))
        assert reply.status == status
        assert json.loads(reply.body)["error"]["code"]
        async with host.stream("builtin", CHAT, ask("builtin", fake=fake)) as answer:
            assert answer.status == status
            assert json.loads(b"".join([chunk async for chunk in answer])) == json.loads(reply.body)


async def test_unknown_models(host: ModelHost, registry: ModelRegistry) -> None:
    registry.register(ModelVersion("orphan", "/x", base="gone"))
    for name in ("nobody", "orphan"):
        with pytest.raises(NotFound) as caught:
            await host.invoke(name, CHAT, ask(name))
        assert caught.value.code == "model_not_found"
        with pytest.raises(NotFound):
            async with host.stream(name, CHAT, ask(name)):
                pass
        for call in (host.deploy, host.undeploy):
            with pytest.raises(NotFound):
                await call(name)


@pytest.mark.parametrize("fake", ["die", "hang up"])
async def test_a_server_that_breaks_is_an_engine_failure_and_comes_back(host: ModelHost, fake: str) -> None:
    with pytest.raises(EngineFailed):
        await host.invoke("builtin", CHAT, ask("builtin", fake=fake))
    assert (await host.invoke("builtin", CHAT, ask("builtin"))).status == 200


async def test_a_server_that_dies_in_mid_stream(host: ModelHost) -> None:
    chunks: list[bytes] = []

    async def read() -> None:
        body = ask("builtin", stream=True, chunks=9, pause=0.05, die_after=1)
        async with host.stream("builtin", CHAT, body) as answer:
            async for chunk in answer:
                chunks.append(chunk)

    with pytest.raises(EngineFailed):
        await read()
    assert chunks
    assert (await host.invoke("builtin", CHAT, ask("builtin"))).status == 200


async def test_a_stream_that_ends_without_saying_so_is_no_answer(host: ModelHost) -> None:
    chunks: list[bytes] = []

    async def read() -> None:
        body = ask("builtin", stream=True, chunks=2, unfinished=True)
        async with host.stream("builtin", CHAT, body) as answer:
            async for chunk in answer:
                chunks.append(chunk)

    with pytest.raises(EngineFailed, match="before its answer was complete"):
        await read()
    assert b"".join(chunks) == b'data: {"n": 0}\n\ndata: {"n": 1}\n\n'


async def test_a_model_that_is_coming_up_is_waited_for_or_not(host: ModelHost, registry: ModelRegistry) -> None:
    registry.register(ModelVersion("slow", "slow:0.7"))
    with pytest.raises(ModelWarming) as caught:
        await host.invoke("slow", CHAT, ask("slow"), wait=0)
    error = caught.value
    assert (error.status, error.code) == (503, "model_warming")
    assert error.retry_after
    assert error.should_retry
    assert (await host.invoke("slow", CHAT, ask("slow"), wait=30)).status == 200
    async with host.stream("slow", CHAT, ask("slow", stream=True), wait=0) as answer:
        assert answer.status == 200


async def test_direct_access_is_there_or_refused(adapter: str, host: ModelHost) -> None:
    with pytest.raises(NotFound):
        await host.direct("nobody")
    if adapter == "aws":
        assert (await host.direct("builtin")).routes == (CHAT,)
    else:
        with pytest.raises(RequestError, match=r"go through the stack's: stack\.service"):
            await host.direct("builtin")


async def test_leaving_a_stream_cancels_it(host: ModelHost, tmp_path: Path) -> None:
    async with host.stream("builtin", CHAT, ask("builtin", stream=True, chunks=99, pause=0.1)) as answer:
        async for _ in answer:
            break
    async with asyncio.timeout(10):
        while "cancelled" not in (tmp_path / "notes").read_text():  # noqa: ASYNC110 - a file's writer sets no event
            await asyncio.sleep(0.02)


async def test_deploy_undeploy_live(host: ModelHost, registry: ModelRegistry) -> None:
    assert await host.live() == []
    await host.undeploy("ft:builtin:a:1")
    await host.undeploy("builtin")
    await host.deploy("builtin")
    assert await host.live() == ["builtin"]
    await host.deploy("ft:builtin:a:1")
    await host.deploy("ft:builtin:a:1")
    assert await host.live() == ["builtin", "ft:builtin:a:1"]
    await host.undeploy("ft:builtin:a:1")
    assert await host.live() == ["builtin"]
    assert (
        json.loads((await host.invoke("ft:builtin:a:1", CHAT, ask("ft:builtin:a:1"))).body)["adapter"]
        == "/models/1"
    )
    await host.undeploy("builtin")
    assert await host.live() == []
    assert (await host.invoke("ft:builtin:a:1", CHAT, ask("ft:builtin:a:1"))).status == 200


async def test_a_model_that_was_deleted_is_freed_too(host: ModelHost, registry: ModelRegistry) -> None:
    await host.deploy("ft:builtin:a:1")
    version = registry.get("ft:builtin:a:1")
    registry.delete(version.name)
    await host.undeploy(version.name)
    registry.register(version)
    assert await host.live() == ["builtin"]


async def test_close_and_use_again(adapter: str, host: ModelHost) -> None:
    assert (await host.invoke("builtin", CHAT, ask("builtin"))).status == 200
    await host.close()
    await host.close()
    assert await host.live() == ([] if adapter == "local" else ["builtin"])  # an account's models live on
    assert (await host.invoke("builtin", CHAT, ask("builtin"))).status == 200
