"""/v1/batches, driven by the openai client with strict validation; the job behind each is moved by hand."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from genai_stack.bulk.specs import BatchSpec
from genai_stack.errors import GenAIStackError
from genai_stack.ports import ModelVersion
from genai_stack.protocol.batch_lines import VLLM_ENDPOINTS
from genai_stack.service import ApiKeys, build_app
from genai_stack.spec_file import convert
from tests.service.conftest import MASTER, assert_problem
from tests.service.fakes import CHAT, serving
from tests.service.resources.conftest import Stack, stores
from tests.service.resources.queue import HandQueue

ENDPOINT = "/v1/chat/completions"


def line(n: int, **more: Any) -> dict[str, Any]:
    body = {"model": CHAT, "messages": [{"role": "user", "content": f"{n}"}]}
    return {"custom_id": f"r-{n}", "method": "POST", "url": ENDPOINT, "body": body, **more}


def uploaded(client: openai.OpenAI, *lines: Any, purpose: str = "batch") -> str:
    text = "".join((told if isinstance(told, str) else json.dumps(told)) + "\n" for told in lines)
    return client.files.create(file=("in.jsonl", text.encode()), purpose=purpose).id  # type: ignore[arg-type]


def begun(client: openai.OpenAI, *lines: Any, **more: Any) -> Any:
    asked: Any = {"endpoint": ENDPOINT, "completion_window": "24h", **more}
    return client.batches.create(input_file_id=uploaded(client, *(lines or (line(1), line(2)))), **asked)


def job_of(batch: Any) -> str:
    return f"batchjob-{batch.id.removeprefix('batch_')}"


def entry(n: int, status: int = 200) -> bytes:
    response = {"status_code": status, "request_id": "r", "body": {}}
    return json.dumps({"id": "b", "custom_id": f"r-{n}", "response": response, "error": None}).encode()


def test_a_batch_from_end_to_end(stack: Stack, client: openai.OpenAI) -> None:
    batch = begun(
        client, metadata={"for": "me"}, output_expires_after={"anchor": "created_at", "seconds": 3600}
    )
    job = job_of(batch)
    assert (batch.status, batch.model, batch.request_counts.total) == ("in_progress", CHAT, 2)
    assert (batch.metadata, batch.expires_at - batch.created_at) == ({"for": "me"}, 86_400)
    spec = convert({**stack.jobs.requests[job].spec, "output": "out"}, BatchSpec)
    assert (spec.model.name, spec.endpoint) == (CHAT, ENDPOINT)
    with open(spec.input, "rb") as file:
        assert json.loads(file.readline()) == line(1)
    stack.jobs.move(job, "running")
    told: dict[str, Any] = {"total": 2, "completed": 1, "failed": 0, "prompt_tokens": 3, "completion_tokens": 4}
    stack.jobs.told[job][1].append(told)
    running = client.batches.retrieve(batch.id)
    assert running.request_counts.completed == 1
    assert running.usage is not None
    assert running.usage.total_tokens == 7
    stack.jobs.told[job][1].append({**told, "failed": 1})
    stack.jobs.left[job] = {"output.jsonl": entry(1) + b"\n", "errors.jsonl": entry(2, 400) + b"\n"}
    stack.jobs.move(job, "succeeded")
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed"
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 1)
    assert done.output_file_id
    assert done.error_file_id
    assert client.files.content(done.output_file_id).read() == entry(1) + b"\n"
    kept = client.files.retrieve(done.error_file_id)
    assert (kept.purpose, kept.expires_at) == ("batch_output", kept.created_at + 3600)
    assert client.batches.retrieve(batch.id) == done
    assert next(iter(client.batches.list(limit=1))) == done
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


async def test_asynchronous_and_raw(stack: Stack, client: openai.OpenAI) -> None:
    file = uploaded(client, line(1))
    async with openai.AsyncOpenAI(
        base_url=stack.api.base_url, api_key=MASTER, max_retries=0, _strict_response_validation=True
    ) as asynchronous:
        raw = await asynchronous.batches.with_raw_response.create(
            input_file_id=file, endpoint=ENDPOINT, completion_window="24h"
        )
        batch = raw.parse()
        assert batch.id in [b.id async for b in await asynchronous.batches.list(limit=2)]
        assert (await asynchronous.batches.cancel(batch.id)).status == "cancelled"


def test_faults_are_told_by_line(stack: Stack, client: openai.OpenAI) -> None:
    other = {**line(3)["body"], "model": "embed-1"}
    metadata = line(6, url="http://169.254.169.254/v1/chat/completions")
    bomb = '{"custom_id": "d", "method": "POST", "url": "/v1/chat/completions", "body": ' + "[" * 50_000
    batch = begun(client, line(1), line(1), line(3, body=other), "{", bomb, metadata, line(7, method="GET"))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(e.line, e.code) for e in batch.errors.data] == [
        (2, "duplicate_custom_id"),
        (3, "mismatched_model"),
        (4, "invalid_json"),
        (5, "invalid_json"),
        (6, "invalid_url"),
        (7, "invalid_method"),
    ]
    assert job_of(batch) not in stack.jobs.jobs
    assert client.files.delete(batch.input_file_id).deleted


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((line(1, body={**line(1)["body"], "model": "nope"}),), "model_not_found"),
        ((line(1, body={**line(1)["body"], "model": "embed-1"}),), "model_task_mismatch"),
        ((line(1, url="/v1/completions", body={"model": CHAT, "prompt": "x"}),), "mismatched_endpoint"),
        (("\n",), "empty_file"),
    ],
)
def test_a_batch_that_no_model_can_run(client: openai.OpenAI, lines: Any, code: str) -> None:
    batch = begun(client, *lines)
    assert batch.status == "failed"
    assert [e.code for e in batch.errors.data] == [code]


def test_a_chat_batch_is_for_a_chat_model(stack: Stack, client: openai.OpenAI) -> None:
    stack.services.registry.register(ModelVersion("judge", "judge", "rerank", job="made"))
    batch = begun(client, line(1, body={**line(1)["body"], "model": "judge"}))
    assert [e.code for e in batch.errors.data] == ["model_task_mismatch"]


def test_an_adapter_runs_on_the_version_it_was_tuned_from(stack: Stack, client: openai.OpenAI) -> None:
    registry = stack.services.registry
    tuned = f"ft:{CHAT}:old:1"
    registry.register(ModelVersion(tuned, "adapter", base=CHAT, job="tune", parent=f"{CHAT}@0"))
    later = registry.register(ModelVersion(CHAT, "later", job="another"))
    registry.promote(CHAT, later.version)
    try:
        body = {"model": tuned, "messages": [{"role": "user", "content": "Hi"}]}
        spec = stack.jobs.requests[job_of(begun(client, line(1, body=body)))].spec
        assert spec["model"] == {"name": tuned, "source": "builtin", "adapter": "adapter"}
    finally:
        registry.rollback(CHAT)


def test_a_batch_of_another_tenants_file(stack: Stack, client: openai.OpenAI) -> None:
    file = uploaded(client, line(1))
    asked = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h"}
    path, other = "/v1/batches", stack.other
    assert_problem(stack.api.call("POST", path, asked, key=other), 404, param="input_file_id")
    batch = begun(client)
    for method, under in (("GET", batch.id), ("POST", f"{batch.id}/cancel"), ("GET", "batch_x"), ("GET", "..")):
        assert_problem(stack.api.call(method, f"{path}/{under}", key=other), 404)
    assert stack.api.call("GET", path, key=other).json()["data"] == []


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/videos"}, "endpoint"),
        ({"endpoint": "http://169.254.169.254/"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": 5}, "input_file_id"),
        ({"color": "red"}, "color"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
    ],
)
def test_requests_that_are_none(stack: Stack, change: dict[str, Any], param: str) -> None:
    good = {"input_file_id": "file-x", "endpoint": ENDPOINT, "completion_window": "24h"}
    assert_problem(stack.api.post("/v1/batches", {**good, **change}), 400, param=param)


def test_a_route_that_the_jobs_cannot_run_is_refused_by_name(tmp_path: Path) -> None:
    """As on a stage, where vLLM runs batches."""
    services = msgspec.structs.replace(stores(tmp_path, HandQueue()), batch_endpoints=VLLM_ENDPOINTS)
    with serving(build_app(services, keys=ApiKeys(services.records, MASTER))) as port:
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=MASTER, max_retries=0)
        with pytest.raises(openai.BadRequestError, match="not for /v1/completions") as refused:
            begun(client, endpoint="/v1/completions")
        assert (refused.value.param, refused.value.code) == ("endpoint", "unsupported_endpoint")
        assert not client.batches.list().data
        client.close()


def test_a_file_of_another_purpose(client: openai.OpenAI) -> None:
    file = uploaded(client, line(1), purpose="user_data")
    with pytest.raises(openai.BadRequestError) as caught:
        client.batches.create(input_file_id=file, endpoint=ENDPOINT, completion_window="24h")
    assert caught.value.code == "invalid_purpose"


def test_cancel_keeps_what_was_answered(stack: Stack, client: openai.OpenAI) -> None:
    batch = begun(client)
    job = job_of(batch)
    stack.jobs.move(job, "running")
    with pytest.raises(openai.ConflictError) as caught:
        client.files.delete(batch.input_file_id)
    assert caught.value.code == "file_in_use"
    parts = [b'{"line":1,"entry":%s}' % entry(1), b'{"torn', b'{"line":1,"entry":%s}' % entry(9), b'{"li']
    stack.jobs.left[job] = {"parts/00001.jsonl": b"\n".join(parts), "parts/00002.jsonl": b""}
    cancelled = client.batches.cancel(batch.id)
    assert cancelled.status == "cancelled"
    assert stack.jobs.jobs[job].state == "cancelled"
    assert cancelled.output_file_id
    assert cancelled.error_file_id is None
    assert client.files.content(cancelled.output_file_id).read() == entry(1) + b"\n"
    assert client.batches.cancel(batch.id) == cancelled
    assert client.files.delete(batch.input_file_id).deleted


def test_a_failed_job_says_why(stack: Stack, client: openai.OpenAI) -> None:
    batch = begun(client)
    address = stack.jobs.requests[job_of(batch)].spec["input"]
    stack.jobs.move(job_of(batch), "failed", error=f"{address}: broken")
    failed = client.batches.retrieve(batch.id)
    assert failed.status == "failed"
    assert failed.errors is not None
    assert failed.errors.data is not None
    assert failed.errors.data[0].message == f"{batch.input_file_id}: broken"
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)
    assert client.batches.retrieve(batch.id) == failed


def test_a_submit_that_fails_is_made_up_for(stack: Stack, client: openai.OpenAI) -> None:
    stack.jobs.failure = GenAIStackError("the queue is away")
    batch = begun(client)
    assert batch.status == "in_progress"
    assert job_of(batch) not in stack.jobs.jobs
    assert client.batches.retrieve(batch.id).status == "in_progress"
    assert job_of(batch) in stack.jobs.jobs
    stack.jobs.failure = GenAIStackError("the queue is away")
    other = begun(client)
    assert client.batches.cancel(other.id).status == "cancelled"
    assert stack.jobs.jobs[job_of(other)].state == "cancelled"


def test_a_create_sent_again_has_one_effect(stack: Stack, client: openai.OpenAI) -> None:
    file = uploaded(client, line(1))
    asked: Any = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h"}
    asked["extra_headers"] = {"Idempotency-Key": "batch-1"}
    before = len(stack.jobs.jobs)
    assert client.batches.create(**asked).id == client.batches.create(**asked).id
    assert len(stack.jobs.jobs) == before + 1
    with pytest.raises(openai.ConflictError) as caught:
        client.batches.create(**asked, metadata={"a": "b"})
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_twelve_at_once_have_one_effect(stack: Stack, client: openai.OpenAI) -> None:
    file = uploaded(client, line(1))
    asked = {"input_file_id": file, "endpoint": ENDPOINT, "completion_window": "24h"}
    before = len(stack.jobs.jobs)
    with ThreadPoolExecutor(12) as pool:
        headers = {"idempotency-key": "all-at-once"}
        answers = list(pool.map(lambda _: stack.api.post("/v1/batches", asked, headers), range(12)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(stack.jobs.jobs) == before + 1


def test_a_batch_expires(stack: Stack, client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = begun(client)
    import genai_stack.service.resources.batches as module

    class Later:
        time = staticmethod(lambda: batch.expires_at + 1.0)

    monkeypatch.setattr(module, "time", Later)
    expired = client.batches.retrieve(batch.id)
    assert (expired.status, expired.expired_at is not None) == ("expired", True)
    assert stack.jobs.jobs[job_of(batch)].state == "cancelled"


def test_a_batch_is_charged_when_it_ends(stack: Stack) -> None:
    _, key = stack.api.keys.create("batches")
    with stack.client(key) as client:
        batch = begun(client)
        job = job_of(batch)
        stack.jobs.told[job][1].append({"completed": 2, "prompt_tokens": 30, "completion_tokens": 40})
        stack.jobs.left[job] = {"output.jsonl": entry(1) + b"\n", "errors.jsonl": b""}
        stack.jobs.move(job, "succeeded")
        for _ in range(2):
            assert client.batches.retrieve(batch.id).status == "completed"
        other = begun(client)
        stack.jobs.told[job_of(other)][1].append({"prompt_tokens": 5, "completion_tokens": 0})
        stack.jobs.move(job_of(other), "failed")
        assert client.batches.retrieve(other.id).status == "failed"
    total = stack.api.get("/v1/usage", key=key).json()["total"]
    assert (total["requests"], total["prompt_tokens"], total["completion_tokens"]) == (2, 35, 40)


def test_a_key_for_some_models_runs_no_batch_of_others(stack: Stack) -> None:
    _, key = stack.api.keys.create("embeds", models=("embed-1",))
    with stack.client(key) as client:
        batch = begun(client)
        assert batch.status == "failed"
        assert batch.errors is not None
        assert [e.code for e in batch.errors.data] == ["model_not_allowed"]
        assert job_of(batch) not in stack.jobs.jobs


def test_keys_of_one_tenant_share_what_they_keep(stack: Stack) -> None:
    keys = [stack.api.keys.create(name, tenant="shared")[1] for name in "ab"]
    with stack.client(keys[0]) as one, stack.client(keys[1]) as two:
        batch = begun(one)
        assert two.batches.retrieve(batch.id).id == batch.id
    with stack.client(stack.other) as other, pytest.raises(openai.NotFoundError):
        other.batches.retrieve(batch.id)
