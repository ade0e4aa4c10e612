"""Streams of SageMakerHost: the model's own bytes, whole, or an error that says why not."""

from __future__ import annotations

import pytest

from genai_stack.aws.breaker import Breaker
from genai_stack.aws.host import SageMakerHost
from genai_stack.errors import (
    EngineFailed,
    ModelFailed,
)
from tests.aws.hosting import TEXT, made, streamed
from tests.aws.runtime_stand_in import (
    StandIn,
    exception,
    frame,
    part,
    raw,
)


async def test_a_stream_cut_at_every_byte_is_whole_or_an_error(host: SageMakerHost, upstream: StandIn) -> None:
    """However it is framed: an event cut in mid-line and inside a character."""
    at = TEXT.index("ö".encode()) + 1
    body = part(TEXT[:at]) + part(TEXT[at:-20]) + part(TEXT[-20:])
    host = made(breaker=Breaker(failures=10**6))
    whole = 0
    for cut in range(len(body) + 1):
        upstream.script = raw(body[:cut])
        try:
            assert await streamed(host) == TEXT
            whole += 1
        except ModelFailed as error:
            came: bytes = error.before  # type: ignore[attr-defined]
            if not TEXT.startswith(came):
                raise
    assert whole == 1
    assert len(upstream.calls) == len(body) + 1
    await host.close()


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_the_bytes_are_the_models_own(host: SageMakerHost, upstream: StandIn, piece: int) -> None:
    upstream.script = raw(part(TEXT[:33]) + part(TEXT[33:]), piece=piece)
    assert await streamed(host) == TEXT


async def test_what_is_no_event_stream_ends_as_it_likes(host: SageMakerHost, upstream: StandIn) -> None:
    upstream.script = raw(part(b"RIFF") + part(b"wave"), kind="audio/wav")
    assert await streamed(host) == b"RIFFwave"
    upstream.script = raw(part(b"RIFF") + part(b"wave")[:-1], kind="audio/wav")
    with pytest.raises(ModelFailed, match="before its answer was complete"):
        await streamed(host)


BREAKS = {
    "timeout": (
        exception("ModelStreamError", Message="x", ErrorCode="ModelInvocationTimeExceeded"),
        "ask for less",
    ),
    "broken": (exception("ModelStreamError", Message="reset", ErrorCode="StreamBroken"), "reset"),
    "internal": (exception("InternalStreamFailure", Message="sorry"), "InternalStreamFailure: sorry"),
    "unknown": (exception("SomethingNew"), "SomethingNew"),
    "error": (frame({":message-type": "error", ":error-code": "E", ":error-message": "m"}, b""), "E: m"),
    "crc": (part(b"data: [DONE]\n\n")[:-1] + b"\0", "damaged"),
    "noise": (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "damaged"),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_stream_that_breaks_says_why(host: SageMakerHost, upstream: StandIn, name: str) -> None:
    what, says = BREAKS[name]
    upstream.script = raw(part(b'data: {"n": 1}\n\n') + what)
    with pytest.raises(EngineFailed, match=says):
        await streamed(host)
    assert len(upstream.calls) == 1
