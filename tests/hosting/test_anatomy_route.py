"""`/v1/anatomy` on the model server: refusals by name, and a server that goes on answering meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from genai_stack.errors import RequestError
from genai_stack.hosting.anatomy import route
from genai_stack.hosting.fleet import Adapter
from genai_stack.hosting.invocations import Invocations
from genai_stack.protocol import AnatomyRequest, decode
from tests.hosting.in_process import invocations, post

PATH = "/v1/anatomy"
GOOD = {"model": "base", "text": "The quick"}


@pytest.fixture
async def server(tiny: Any, tiny_dir: Path, home: Path) -> Invocations:
    return invocations(tiny_dir, home)


@asynccontextmanager
async def occupied() -> AsyncIterator[None]:
    """While inside, the thread that takes texts apart does something else."""
    free = threading.Event()
    busy = asyncio.get_running_loop().run_in_executor(route._thread, free.wait)
    try:
        yield
    finally:
        free.set()
        await busy


async def test_a_text_is_taken_apart(server: Invocations) -> None:
    status, told = await post(server, PATH, GOOD)
    assert (status, told["object"], told["model"]) == (200, "anatomy", "base")
    assert "".join(token["text"] for token in told["tokens"]) == "The quick"
    assert told["usage"] == {"prompt_tokens": len(told["tokens"]), "total_tokens": len(told["tokens"])} | EXTRA
    assert all(told[step] for step in ("embeddings", "attention", "states", "output"))


EXTRA = {"completion_tokens": 0, "prompt_tokens_details": None}


async def test_an_adapter_answers_with_its_own_weights(
    server: Invocations, adapter_dirs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = server._fleet
    adapter = Adapter("tuned", "src", adapter_dirs[0])
    monkeypatch.setattr("genai_stack.hosting.engine.Engine.start", lambda engine: None)
    fleet.adapters["tuned"] = adapter
    plain = (await post(server, PATH, GOOD))[1]
    tuned = (await post(server, PATH, {**GOOD, "model": "tuned"}))[1]
    assert tuned["embeddings"] == plain["embeddings"]
    assert tuned["output"] != plain["output"]


async def test_others_are_answered_meanwhile(server: Invocations) -> None:
    async with occupied():
        waiting = asyncio.ensure_future(post(server, PATH, GOOD))
        status, told = await post(server, "/v1/tokenize", {"model": "base", "prompt": "The quick"})
        assert (status, waiting.done()) == (200, False)
    assert (await waiting)[1]["usage"]["prompt_tokens"] == told["count"]


async def test_too_many_at_once_are_told_to_come_back(server: Invocations) -> None:
    async with occupied():
        waiting = [asyncio.ensure_future(post(server, PATH, GOOD)) for _ in range(route.MAX_WAITING + 1)]
        for _ in range(5):
            await asyncio.sleep(0)
        status, told = await post(server, PATH, GOOD)
        assert (status, told["error"]["code"]) == (429, "rate_limit_exceeded")
        for one in waiting[1:]:  # they give up, and leave their places to others
            one.cancel()
        await asyncio.gather(*waiting[1:], return_exceptions=True)
        again = asyncio.ensure_future(post(server, PATH, GOOD))
    assert (await waiting[0])[0] == (await again)[0] == 200


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"text": ""}, "text", "invalid_value"),
        ({"text": None}, "text", "invalid_value"),
        ({"text": ["a"]}, "text", "invalid_value"),
        ({"text": "a" * 10_000_000}, "text", "context_length_exceeded"),
        ({"texts": "a"}, "texts", "unknown_parameter"),
        ({"truncate": True}, "truncate", "unknown_parameter"),
        ({"layers": [-1]}, "layers[0]", "invalid_value"),
        ({"layers": [7]}, "layers", "invalid_value"),
        ({"layers": []}, "layers", "invalid_value"),
        ({"layers": [0, 0]}, "layers", "invalid_value"),
        ({"heads": "max"}, "heads", "unsupported_value"),
        ({"heads": [4]}, "heads", "invalid_value"),
        ({"positions": [100]}, "positions", "invalid_value"),
        ({"top_k": 0}, "top_k", "invalid_value"),
        ({"top_k": 999}, "top_k", "invalid_value"),
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"steps": ["softmax"]}, "steps[0]", "unsupported_value"),
        ({"steps": []}, "steps", "invalid_value"),
        ({"steps": ["tokens"], "top_k": 3}, "top_k", "invalid_value"),
        ({"steps": ["output"], "layers": [0]}, "layers", "invalid_value"),
        ({"dimensions": 4}, "dimensions", "unsupported_value"),
        ({"model": "other"}, "model", "model_not_found"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_input_is_refused_by_name(
    server: Invocations, change: dict[str, Any], param: str, code: str
) -> None:
    status, told = await post(server, PATH, {**GOOD, **change})
    assert status in (400, 404)
    assert (told["error"]["param"], told["error"]["code"]) == (param, code)


def test_a_step_takes_the_parameters_that_are_about_it() -> None:
    body = b'{"model": "m", "text": "x", "steps": ["output"], "lens": true, "layers": [0], "positions": [0]}'
    assert decode(AnatomyRequest, body).lens
    with pytest.raises(RequestError, match="'attention'"):
        decode(AnatomyRequest, body.replace(b'"lens": true', b'"heads": [0]'))


async def test_an_embedding_model_has_an_anatomy_too(home: Path) -> None:
    status, told = await post(invocations("minilm", home), PATH, GOOD)
    assert status == 200
    assert told["output"] is None
    assert len(told["pooled"]["similarity"]) == len(told["tokens"]) == 4
