"""Tasks in a batch: answered as the API does, over the batch's own model host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genai_stack.bulk.task_host import TaskHost
from genai_stack.errors import EngineFailed
from genai_stack.task_prompts.overrides import TaskConfig, TasksConfig
from tests.bulk.conftest import write_batch
from tests.service.fakes import CHAT
from tests.service.task_host import ReadingHost, asked

ROUTE = "/v1/tasks/summarize"
TASKS = TasksConfig(summarize=TaskConfig(prompt="Briefly {length}{style}: {text}"))


async def told(host: ReadingHost, **body: Any) -> tuple[int, Any]:
    reply = await TaskHost(host, TASKS).invoke(
        CHAT, ROUTE, json.dumps({"model": CHAT, "text": "Hello", **body}).encode()
    )
    return reply.status, json.loads(reply.body)


async def test_answers_and_refusals_are_replies() -> None:
    host = ReadingHost()
    status, body = await told(host)
    assert (status, body["object"], body["summary"]) == (200, "task.summary", "So it is.")
    assert asked(host.bodies[0]) == "Briefly in one sentence: Hello"
    status, body = await told(host, text="word " * 100_000)
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    status, body = await told(host, text="")
    assert (status, body["error"]["param"]) == (400, "text")


async def test_a_broken_engine_is_the_batch_s_to_mend() -> None:
    host = ReadingHost()
    host.failure = EngineFailed("It died.")
    with pytest.raises(EngineFailed):
        await told(host)


@pytest.mark.parametrize(
    ("url", "body", "param"),
    [
        (ROUTE, {"text": "a"}, "body.model"),
        (ROUTE, {"model": "m", "text": "a", "stream": True}, "body.stream"),
        (ROUTE, {"model": "m", "text": " "}, "body.text"),
        ("/v1/tasks/answer", {"model": "m", "question": "a", "vector_store_id": "vs"}, "body.vector_store_id"),
        ("/v1/tasks/sing", {"model": "m"}, "url"),
    ],
)
def test_lines_that_can_t_run(tmp_path: Any, url: str, body: Any, param: str) -> None:
    from genai_stack.bulk.intake import inspect

    path = write_batch(tmp_path / "in.jsonl", [{"custom_id": "a", "method": "POST", "url": url, "body": body}])
    (fault,) = inspect(path).faults
    assert fault.param == param
