"""SageMakerHost against a scripted sagemaker-runtime: each fault, its error, and the upstream calls it may cost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from botocore.credentials import Credentials

from genai_stack import names
from genai_stack.aws.breaker import Breaker
from genai_stack.aws.host import SageMakerHost
from genai_stack.errors import (
    GenAIStackError,
    ModelFailed,
    ModelWarming,
    NotDeployedError,
    NotFound,
    Overloaded,
    RequestError,
    TooLarge,
)
from tests.aws.account import Account
from tests.aws.hosting import BODY, CHAT, TEXT, Bucket, made, streamed
from tests.aws.runtime_stand_in import (
    Call,
    StandIn,
    always,
    model_error,
    no_capacity,
    part,
    raw,
    refusal,
)


async def test_what_is_sent(host: SageMakerHost, upstream: StandIn) -> None:
    upstream.script = always(lambda: web.json_response({"ok": 1}))
    for model in ("m", "a"):
        assert (await host.invoke(model, CHAT, BODY)).body == b'{"ok": 1}'
    for call, model in zip(upstream.calls, ("m", "a"), strict=True):
        assert call.path == f"/endpoints/{names.endpoint('dev', 'm')}/invocations"
        assert call.component == names.component("dev", model)
        assert call.headers["x-amzn-sagemaker-custom-attributes"] == f"route={CHAT}"
        assert call.headers["content-type"] == "application/json"
        assert call.headers["x-amz-security-token"] == "testing"
        assert call.headers["authorization"].count("/eu-central-1/sagemaker/aws4_request") == 1
        assert call.body == BODY


OPENAI = json.dumps(
    {"error": {"message": "too long", "type": "x", "param": None, "code": "context_length_exceeded"}}
)
FAULTS: list[tuple[str, Any, type[GenAIStackError], int, str]] = [
    ("throttled", lambda: refusal(400, "ThrottlingException", "Rate exceeded"), Overloaded, 429, "moment"),
    ("throttled", lambda: refusal(429, "TooManyRequestsException", "slow"), Overloaded, 429, "moment"),
    ("no copy", no_capacity, ModelWarming, 503, "x-genai-wait"),
    ("loading", lambda: refusal(429, "ModelNotReadyException", "wait"), ModelWarming, 503, "coming"),
    (
        "creating",
        lambda: refusal(400, "ValidationError", "Endpoint e of account 1 is not in service. Status: Creating"),
        ModelWarming,
        503,
        "coming",
    ),
    ("busy", lambda: refusal(503, "ServiceUnavailable", "no"), ModelWarming, 503, "try again"),
    (
        "gone",
        lambda: refusal(400, "ValidationError", "Endpoint e of account 1 not found."),
        NotDeployedError,
        503,
        "stage 'dev'",
    ),
    (
        "denied",
        lambda: refusal(403, "AccessDeniedException", "User: u is not authorized"),
        GenAIStackError,
        500,
        "sagemaker:InvokeEndpoint",
    ),
    (
        "expired",
        lambda: refusal(403, "ExpiredTokenException", "The security token is expired"),
        GenAIStackError,
        500,
        "renew",
    ),
    (
        "clock",
        lambda: refusal(403, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2"),
        GenAIStackError,
        500,
        "clock",
    ),
    (
        "large",
        lambda: refusal(400, "ValidationError", "Member must have length less than or equal to 6291456"),
        TooLarge,
        413,
        "send less",
    ),
    ("broken", lambda: refusal(500, "InternalFailure", "oops"), ModelFailed, 502, "oops"),
    ("dependency", lambda: refusal(530, "InternalDependencyException", ""), ModelFailed, 502, "try again"),
    ("container 5xx", lambda: model_error(500, "CUDA out of memory"), ModelFailed, 502, "CUDA"),
    ("container 4xx", lambda: model_error(415, "unsupported"), RequestError, 400, "unsupported"),
    ("proxy", lambda: web.Response(status=502, body=b"<html>Bad Gateway"), ModelFailed, 502, "try again"),
]


@pytest.mark.parametrize(("name", "answer", "kind", "status", "says"), FAULTS, ids=[f[0] for f in FAULTS])
async def test_each_refusal_is_an_error_of_ours_after_one_call(
    host: SageMakerHost, upstream: StandIn, name: str, answer: Any, kind: Any, status: int, says: str
) -> None:
    upstream.script = always(answer)
    for ask in (host.invoke("m", CHAT, BODY), streamed(host)):
        upstream.calls.clear()
        with pytest.raises(kind, match=says) as caught:
            await ask
        assert type(caught.value) is kind
        assert caught.value.status == status
        assert len(upstream.calls) == 1
        if kind in (Overloaded, ModelWarming):
            assert caught.value.retry_after


async def test_the_wait_that_sagemaker_names_is_passed_on(host: SageMakerHost, upstream: StandIn) -> None:
    upstream.script = always(lambda: refusal(429, "ThrottlingException", "x", headers={"retry-after": "7"}))
    with pytest.raises(Overloaded) as caught:
        await host.invoke("m", CHAT, BODY)
    assert caught.value.retry_after == 7


async def test_the_containers_own_error_is_passed_on(host: SageMakerHost, upstream: StandIn) -> None:
    for status in (400, 404, 429, 503):
        upstream.script = always(lambda status=status: model_error(status, OPENAI))  # type: ignore[misc]
        reply = await host.invoke("m", CHAT, BODY)
        assert (reply.status, reply.body.decode()) == (status, OPENAI)
        async with host.stream("m", CHAT, BODY) as answer:
            assert (answer.status, b"".join([part async for part in answer])) == (status, OPENAI.encode())


async def test_nobody_there_and_nobody_known(host: SageMakerHost, upstream: StandIn) -> None:
    for model, kind, says in (
        ("nobody", NotFound, "no such model"),
        ("elsewhere", NotDeployedError, "hosts no 'elsewhere'"),
        ("film:a", RequestError, "no adapters"),
    ):
        with pytest.raises(kind, match=says):
            await host.invoke(model, CHAT, BODY)
    assert upstream.calls == []


async def test_a_region_that_does_not_answer(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:9")
    host = made()
    with pytest.raises(ModelFailed, match=r"127\.0\.0\.1:9 doesn't answer"):
        await host.invoke("m", CHAT, BODY)
    await host.close()


async def test_waiting_for_a_copy_costs_refused_calls_only(host: SageMakerHost, upstream: StandIn) -> None:
    left = [4]

    async def script(call: Call, request: web.Request) -> web.StreamResponse:
        left[0] -= 1
        return no_capacity() if left[0] > 0 else await raw(part(TEXT))(call, request)  # type: ignore[return-value]

    upstream.script = script
    assert await streamed(host, wait=20) == TEXT
    assert len(upstream.calls) == 4
    upstream.script = always(no_capacity)
    begun = asyncio.get_running_loop().time()
    with pytest.raises(ModelWarming):
        await host.invoke("m", CHAT, BODY, wait=0.1)
    assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_the_breaker_spares_what_keeps_failing(upstream: StandIn) -> None:
    now = [0.0]
    host = made(breaker=Breaker(failures=3, cool=10, clock=lambda: now[0]))
    upstream.script = always(lambda: refusal(500, "InternalFailure", "oops"))
    for _ in range(5):
        with pytest.raises(ModelFailed):
            await host.invoke("m", CHAT, BODY)
    assert len(upstream.calls) == 3
    with pytest.raises(ModelFailed, match="3 times in a row") as caught:
        await streamed(host)
    assert (caught.value.code, caught.value.retry_after, caught.value.should_retry) == (
        "model_unavailable",
        10,
        True,
    )
    with pytest.raises(ModelFailed, match="oops"):
        await host.invoke("a", CHAT, BODY)  # another component
    upstream.script = always(no_capacity)
    now[0] = 10
    for _ in range(2):
        with pytest.raises(ModelWarming):
            await host.invoke("m", CHAT, BODY)  # says nothing about it, so that another may try
    upstream.script = always(lambda: web.json_response({}))
    for _ in range(2):
        assert (await host.invoke("m", CHAT, BODY)).status == 200
    await host.close()


async def test_one_probe_at_a_time(upstream: StandIn) -> None:
    now = [0.0]
    breaker = Breaker(failures=1, cool=1, clock=lambda: now[0])
    breaker.failed("c")
    now[0] = 1
    breaker.admit("c", "m")
    with pytest.raises(ModelFailed):
        breaker.admit("c", "m")
    breaker.undecided("c")
    breaker.admit("c", "m")
    breaker.failed("c")
    with pytest.raises(ModelFailed, match="2 times"):
        breaker.admit("c", "m")


async def hang(call: Call, request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_cancelled_request_closes_its_connection(host: SageMakerHost, upstream: StandIn) -> None:
    upstream.script = hang
    asking = asyncio.create_task(host.invoke("m", CHAT, BODY))
    assert await asyncio.to_thread(upstream.arrived.wait, 10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await asyncio.to_thread(upstream.gone.wait, 10)


async def test_one_deadline_from_end_to_end(upstream: StandIn) -> None:
    host = made(seconds=0.15)
    upstream.script = hang
    for ask in (host.invoke("m", CHAT, BODY), streamed(host)):
        with pytest.raises(ModelFailed, match="took longer") as caught:
            await ask
        assert caught.value.code == "model_timeout"
        assert await asyncio.to_thread(upstream.gone.wait, 10)
    assert len(upstream.calls) == 2
    await host.close()


async def test_a_renewed_key_is_used_after_one_was_refused(
    host: SageMakerHost, upstream: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = iter(("OLD", "NEW"))
    monkeypatch.setattr("genai_stack.aws.session.credentials", lambda: Credentials(next(keys), "s"))
    host = made()
    upstream.script = always(lambda: refusal(403, "ExpiredTokenException", "expired"), times=1)
    with pytest.raises(GenAIStackError, match="renew them"):
        await host.invoke("m", CHAT, BODY)
    upstream.script = always(lambda: web.json_response({}))
    assert (await host.invoke("m", CHAT, BODY)).status == 200
    assert [c.headers["authorization"].split("/")[0][-3:] for c in upstream.calls] == ["OLD", "NEW"]
    monkeypatch.setattr("genai_stack.aws.session.credentials", lambda: None)
    with pytest.raises(GenAIStackError, match="aws configure"):
        await made().invoke("m", CHAT, BODY)
    await host.close()


async def test_an_answer_through_s3(host: SageMakerHost, upstream: StandIn, bucket: Bucket) -> None:
    headers = {
        "x-amzn-sagemaker-outputlocation": "s3://answers/out",
        "x-amzn-sagemaker-failurelocation": "s3://answers/failed",
    }
    upstream.script = always(lambda: web.json_response({"InferenceId": "1"}, status=202, headers=headers))
    asking = asyncio.create_task(host.invoke("film", "/v1/videos", b'{"prompt": "rain"}'))
    assert await asyncio.to_thread(upstream.arrived.wait, 10)
    bucket.kept["out"] = b'{"url": "s3://x"}'
    reply = await asking
    assert (reply.status, reply.content_type, reply.body) == (200, "application/json", b'{"url": "s3://x"}')
    (call,) = upstream.calls
    assert call.path == f"/endpoints/{names.endpoint('dev', 'film')}/async-invocations"
    assert call.component == ""
    where = call.headers["x-amzn-sagemaker-inputlocation"]
    assert where.startswith(f"s3://questions/{names.questions('film')}/")
    assert bucket.kept[where.removeprefix("s3://questions/")] == b'{"prompt": "rain"}'
    assert call.headers["x-amzn-sagemaker-custom-attributes"] == "route=/v1/videos"
    del bucket.kept["out"]
    with pytest.raises(ModelFailed, match="within 1 s"):
        await host.invoke("film", "/v1/videos", BODY)
    bucket.kept["failed"] = b"out of memory"
    with pytest.raises(ModelFailed, match="out of memory"):
        await host.invoke("film", "/v1/videos", BODY)
    with pytest.raises(RequestError, match="without stream"):
        await streamed(host, "film")
    upstream.script = always(lambda: refusal(400, "ThrottlingException", "x"))
    with pytest.raises(Overloaded):
        await host.invoke("film", "/v1/videos", BODY)


async def test_sagemakers_own_api(host: SageMakerHost, upstream: StandIn) -> None:
    access = await host.direct("a")
    endpoint, component = names.endpoint("dev", "m"), names.component("dev", "a")
    assert access.base_url == f"{upstream.url}/endpoints/{endpoint}/inference-components/{component}/openai/v1"
    assert access.key().startswith("sagemaker-api-key-")
    assert access.routes == (CHAT,)
    with pytest.raises(RequestError, match="chat only"):
        await host.direct("film")
    with pytest.raises(NotFound):
        await host.direct("nobody")


def test_one_host_in_two_event_loops(upstream: StandIn) -> None:
    upstream.script = always(lambda: web.json_response({}))
    host = made()

    async def ask() -> int:
        try:
            return (await host.invoke("m", CHAT, BODY)).status
        finally:
            await host.close()

    assert [asyncio.run(ask()) for _ in range(2)] == [200, 200]
